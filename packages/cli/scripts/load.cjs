/**
 * Loads the bundle's modules as Node loads CommonJS, but with the code that V8 made of them when the bundle was built (compile-bundle.mjs): a
 * start does not have to parse and compile again. V8 takes no code of another version, of other settings or of a text of another
 * length, and compiles the text then; a text of other content has another name.
 *
 * Called by: the bundle's entries (bundle.mjs makes them and puts this file beside them), on each thread.
 */
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { Script } = require('node:vm');

const nodeRequire = createRequire(__filename);
/** Modules that are loaded, or being loaded, by their file's name. */
const modules = new Map();

/** The compiled code beside a module; undefined where there is none. */
function compiledCode(filename) {
  try {
    return readFileSync(`${filename}.code`);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** In the bundle, modules name each other as ./NAME, and everything else is Node's. */
const find = (wanted) => (wanted.startsWith('./') ? load(wanted.slice(2)) : nodeRequire(wanted));

/** @param name of a file of this folder, a function in parentheses @returns what the module exports */
function load(name) {
  const known = modules.get(name);
  if (known !== undefined) return known.exports;
  const module = { exports: {} };
  modules.set(name, module);
  const filename = join(__dirname, name);
  const text = readFileSync(filename, 'latin1');
  const body = new Script(text, { filename, cachedData: compiledCode(filename) }).runInThisContext();
  body.call(module.exports, module.exports, find, module, filename, __dirname);
  return module.exports;
}

module.exports = { load };
