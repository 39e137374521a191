/** What Plinth itself has to say while a guest owns standard output: lines on standard error that name their speaker. */
let rawTerminal = false;

/** While the terminal is raw, a line feed does not return the carriage, so messages do it themselves. */
export function setTerminalRaw(raw: boolean): void {
  rawTerminal = raw;
}

/** Prints a message of the host, one line or several. */
export function hostMessage(text: string): void {
  const newline = rawTerminal ? '\r\n' : '\n';
  process.stderr.write(`${rawTerminal ? '\r' : ''}${text.split('\n').join(newline)}${newline}`);
}
