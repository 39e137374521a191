/* The parts of the ring 0 tests: name and function. */
    {"exceptions", test_exceptions},
