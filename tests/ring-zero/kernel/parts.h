/* The parts of the ring 0 tests: name and function. */
    {"exceptions", test_exceptions},
    {"segments", test_segments},
    {"gates", test_gates},
    {"debug", test_debug},
    {"prefixes", test_prefixes},
    {"real-mode", test_real_mode},
