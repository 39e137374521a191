/**
 * Checks of the ring 0 kernel by name that QEMU's TCG (7.2) does not pass, and what the manual says about each. Plinth passes them all.
 */
export const qemuDiffers: Readonly<Record<string, string>> = {
  'LOCK with MOV':
    'AMD64 manual volume 3, section 1.2.5: LOCK with any instruction that is not in the list is #UD; TCG ignores it',
};
