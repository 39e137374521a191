/**
 * The way out of a raw console: Ctrl+] followed by a key. A state machine over the bytes that a user types; what is not
 * for Plinth goes on to the guest unchanged.
 *
 *     Ctrl+] q       leave
 *     Ctrl+] ?       what the keys are
 *     Ctrl+] Ctrl+]  one Ctrl+] for the guest
 *     Ctrl+] other   both keys for the guest
 */
const controlBracket = 0x1d;

/** What Plinth itself is asked to do. */
export type ConsoleAction = 'leave' | 'help';

const actions: Readonly<Record<number, ConsoleAction>> = {
  113: 'leave', // q
  81: 'leave', // Q, for those with Caps Lock
  63: 'help', // ?
};

export class EscapeFilter {
  private escaped = false;

  /** Takes typed bytes, in pieces of any size; gives what the guest is to see and what Plinth is to do. */
  take(typed: Uint8Array): { readonly forGuest: Uint8Array; readonly actions: readonly ConsoleAction[] } {
    const forGuest: number[] = [];
    const found: ConsoleAction[] = [];
    for (const byte of typed) {
      if (!this.escaped) {
        if (byte === controlBracket) this.escaped = true;
        else forGuest.push(byte);
        continue;
      }
      this.escaped = false;
      const action = actions[byte];
      if (action !== undefined) found.push(action);
      else if (byte === controlBracket) forGuest.push(byte);
      else forGuest.push(controlBracket, byte);
    }
    return { forGuest: Uint8Array.from(forGuest), actions: found };
  }
}
