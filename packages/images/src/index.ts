/**
 * Guest images made from Debian's packages.
 *
 *     const image = await resolveImage('debian-tiny').catch(() => buildImage('debian-tiny'));
 *     // image.kernel, image.initrds, image.commandLine
 */
export { type AgentActions, type AgentEvent, AgentProtocol, commandLimit } from './agent-protocol.ts';
export { type CpioEntry, readCpio, writeCpio } from './cpio.ts';
export type { GuestFile } from './guest-tree.ts';
export { plinthHome } from './home.ts';
export {
  type BuildOptions,
  type BuiltImage,
  buildImage,
  type ImageInfo,
  type ImageManifest,
  type ImageOptions,
  listImages,
  type ResolvedImage,
  removeImage,
  resolveImage,
} from './image-store.ts';
export { type BuildProgress, buildInitramfs, type Initramfs, type InitramfsOptions } from './initramfs.ts';
