/** `plinth image ls|build|rm`: guest images, made by the package images. */

import { PlinthError } from '@plinth/errors';
import {
  type BuildProgress,
  buildImage,
  listImages,
  type ResolvedImage,
  removeImage,
  resolveImage,
} from '@plinth/images';
import type { OutputFormat } from './command-table.ts';
import { hostMessage } from './host-message.ts';
import { formatListing, type Plain, showBytes } from './output.ts';
import { startProgress } from './progress.ts';

/** The images that Plinth knows, in a format. */
export async function imageListCommand(home: string, format: OutputFormat): Promise<string> {
  const images = await listImages({ home });
  const rows = images.map(({ name, state, kernelRelease, size, builtAt, description, folder }) => ({
    name,
    state,
    kernelRelease: kernelRelease ?? null,
    sizeBytes: size ?? null,
    builtAt: builtAt ?? null,
    description,
    folder,
  }));
  return formatListing(
    {
      rows,
      columns: [
        ['NAME', 'name'],
        ['STATE', 'state'],
        ['KERNEL', 'kernelRelease'],
        ['SIZE', 'sizeBytes', showBytes],
        ['BUILT', 'builtAt', showDay],
        ['DESCRIPTION', 'description'],
      ],
    },
    format,
  );
}

const showDay = (time: Plain): string => String(time).slice(0, 'YYYY-MM-DD'.length);

const stageNames: Readonly<Record<BuildProgress['stage'], string>> = {
  'package lists': 'reading package lists',
  download: 'downloading packages',
  unpack: 'unpacking packages',
  assemble: 'assembling the initial RAM file system',
  store: 'storing the image',
};

/** Builds an image and shows how far it is. Ctrl+C ends the build; the image that was there before stays. */
export async function imageBuildCommand(home: string, name: string): Promise<ResolvedImage> {
  const progress = startProgress();
  const abort = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => abort.abort(new BuildInterrupted(signal));
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    const image = await buildImage(name, {
      home,
      signal: abort.signal,
      onProgress: ({ stage, detail, percent }) =>
        progress.stage(
          `Image ${name}: ${stageNames[stage]}`,
          percent === undefined ? detail : `${Math.round(percent)} %, ${detail}`,
        ),
    });
    progress.done(`Image ${name} is built: Debian's kernel ${image.kernelRelease}`);
    return image;
  } catch (error) {
    progress.stop();
    // However deep the interruption was noticed, it is what ended the build.
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

/** A build that a signal ended: no error, but no success either. */
class BuildInterrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
  }
}

/**
 * The files of an image, building it first when it is not there, or damaged. One that another version of Plinth has built is built
 * anew, because its agent may speak another protocol; when that fails (no network), the old one has to do.
 */
export async function ensureImage(home: string, name: string): Promise<ResolvedImage> {
  let outdated: ResolvedImage;
  try {
    const image = await resolveImage(name, { home });
    if (!image.outdated) return image;
    outdated = image;
  } catch (error) {
    if (!(error instanceof PlinthError && (error.code === 'PL-2102' || error.code === 'PL-2106'))) throw error;
    return imageBuildCommand(home, name);
  }
  try {
    return await imageBuildCommand(home, name);
  } catch (error) {
    if (!(error instanceof PlinthError)) throw error;
    hostMessage(
      `The image ${name} was built by another version of Plinth and cannot be built anew now. ${error.message}`,
    );
    return outdated;
  }
}

/** Removes a built image. */
export async function imageRemoveCommand(home: string, name: string): Promise<void> {
  await removeImage(name, { home });
}
