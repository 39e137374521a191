/**
 * Loaded first on each thread of a `plinth` whose compiled code is to be kept: puts what V8 has compiled by then of each module of the bundle
 * beside it, with what was there before (load.cjs takes it). The main thread does so when it ends, a processor's when its machine ends, a translator's
 * after each batch, as it is ended from outside.
 *
 * Called by: compile-bundle.mjs, as `node --require`.
 */
const { renameSync, writeFileSync } = require('node:fs');
const vm = require('node:vm');
const { isMainThread, MessagePort, threadId } = require('node:worker_threads');

const scripts = new Map();

vm.Script = class extends vm.Script {
  constructor(text, options) {
    super(text, options);
    scripts.set(options.filename, this);
  }
};

function keepCompiled() {
  for (const [filename, script] of scripts) {
    // Another thread or process may be reading it.
    const fresh = `${filename}.${process.pid}-${threadId}.code`;
    writeFileSync(fresh, script.createCachedData());
    renameSync(fresh, `${filename}.code`);
  }
}

if (isMainThread) process.on('exit', keepCompiled);
else {
  const { postMessage } = MessagePort.prototype;
  MessagePort.prototype.postMessage = function (message, ...rest) {
    // A processor's end, and a translated batch.
    if (message.kind === 'ended' || 'regions' in message) keepCompiled();
    return postMessage.call(this, message, ...rest);
  };
}
