/**
 * The error catalogue: every failure that a user can see, as data.
 *
 * One entry is one sentence each for what happened, why, and what to do next; `{name}` stands for a parameter that the
 * thrower supplies (the compiler checks that each is given, see `plinth-error.ts`). `docs/reference/errors.md` and
 * `plinth explain` are made from this table, so nothing about an error is written anywhere else.
 *
 * Invariants: sentences carry no full stop at their end (the formatter adds it) and begin with a capital letter; a code is
 * never given a second meaning; a range belongs to one part of the system:
 * 1000s command line and usage, 2000s input files, loader and images, 3000s worker and host, 4000s guest, processor and
 * hypervisor, 5000s chipset.
 */

/** One failure: what happened, why it can happen, what to do next, and the exit status it gives the process. */
export interface CatalogueEntry {
  /** What happened, with `{parameter}` placeholders. */
  readonly what: string;
  /** Why it happens. */
  readonly why: string;
  /** The next step for the reader, most often a command. */
  readonly tryNext: string;
  /**
   * The process's exit status: 1 refused, 64 usage, 65 malformed input file, 66 unreadable input file, 69 unreachable service,
   * 70 a fault of Plinth, 75 the guest crashed, 124 a time limit passed.
   */
  readonly exitStatus: number;
}

export const catalogue = {
  // ---- 1000s: command line and usage -------------------------------------------------------------------------------
  'PL-1001': {
    what: "There is no command '{command}'",
    why: 'The first word after plinth names a command, and this one is not among them',
    tryNext: 'plinth --help',
    exitStatus: 64,
  },
  'PL-1002': {
    what: "'{command}' has no option '{option}'",
    why: 'The option is misspelled or belongs to another command{suggestion}',
    tryNext: '{command} --help',
    exitStatus: 64,
  },
  'PL-1003': {
    what: "The option '{option}' of '{command}' lacks its value",
    why: 'This option is always followed by a value',
    tryNext: '{command} --help',
    exitStatus: 64,
  },
  'PL-1004': {
    what: "'{value}' is not a value for {option}",
    why: '{option} takes {expected}',
    tryNext: 'plinth {command} --help',
    exitStatus: 64,
  },
  'PL-1005': {
    what: 'The option {option} is not built yet',
    why: 'It is part of the command line that Plinth promises, but this version ({version}) cannot do it',
    tryNext: 'the same command without {option}; CHANGELOG.md tells what each version can do',
    exitStatus: 64,
  },
  'PL-1006': {
    what: "The command '{command}' is not built yet",
    why: 'It is part of the command line that Plinth promises, but this version ({version}) cannot do it',
    tryNext: 'plinth --help for the commands that work; CHANGELOG.md tells what each version can do',
    exitStatus: 64,
  },
  'PL-1007': {
    what: "'{command}' lacks its argument: {argument}",
    why: 'This command cannot do anything without it',
    tryNext: '{command} --help',
    exitStatus: 64,
  },
  'PL-1008': {
    what: "'{command}' was given too many arguments",
    why: 'It takes {expected} but got {count}; a value with spaces in it must stand in quotes',
    tryNext: '{command} --help',
    exitStatus: 64,
  },
  'PL-1009': {
    what: "'{value}' is not a size for {option}",
    why: 'A size is a whole number with a binary unit: 512M, 512MB and 512MiB are the same, as are 1G and 1024M',
    tryNext: '{option} 512M',
    exitStatus: 64,
  },
  'PL-1011': {
    what: 'The KVM engine is not available yet',
    why: "Version {version} runs guests on Plinth's own processor only, which needs no /dev/kvm",
    tryNext: 'plinth run --engine software',
    exitStatus: 64,
  },
  'PL-1012': {
    what: '--exec cannot be used with a kernel of your own',
    why: "The command is run by Plinth's agent in the guest, and only the images of 'plinth image ls' have it",
    tryNext: 'plinth run IMAGE --exec COMMAND, or --kernel without --exec and the console',
    exitStatus: 64,
  },
  'PL-1013': {
    what: '{option} has no effect without --kernel',
    why: 'An image brings its own kernel, initrd and command line',
    tryNext: 'plinth run --kernel FILE {option} VALUE',
    exitStatus: 64,
  },
  'PL-1014': {
    what: "Both the image '{image}' and --kernel were given",
    why: 'A machine boots either an image or a kernel of your own, and Plinth does not guess which one you meant',
    tryNext: 'plinth run {image}, or plinth run --kernel FILE',
    exitStatus: 64,
  },
  'PL-1015': {
    what: "There is no error code '{code}'",
    why: 'Codes look like PL-1001 and stand at the start of an error message',
    tryNext: 'docs/reference/errors.md, which lists them all',
    exitStatus: 64,
  },
  'PL-1016': {
    what: "There is no completion for the shell '{shell}'",
    why: 'Plinth knows how {shells} complete words',
    tryNext: 'plinth completion bash',
    exitStatus: 64,
  },
  'PL-1017': {
    what: "No virtual machine named '{name}' is running",
    why: 'Only a machine that runs can be reached; running now: {running}',
    tryNext: 'plinth vm ls',
    exitStatus: 1,
  },
  'PL-1018': {
    what: "There is nothing at '{path}'",
    why: "'{parent}' has: {children}",
    tryNext: 'plinth inspect {parent}',
    exitStatus: 1,
  },
  'PL-1019': {
    what: "A virtual machine named '{name}' is already running",
    why: 'Process {pid} uses the name, and a name leads to one machine',
    tryNext: 'another --name, or end that machine first',
    exitStatus: 1,
  },
  'PL-1020': {
    what: "'{name}' cannot be the name of a virtual machine",
    why: 'A name has 1 to 64 letters, digits, dots, hyphens or underscores and begins with a letter or digit',
    tryNext: '--name my-guest',
    exitStatus: 64,
  },
  'PL-1021': {
    what: "The virtual machine '{name}' does not answer",
    why: 'Its control socket {socket} exists, but {reason}',
    tryNext: 'ls -l {socket}; if no process is behind it any more, remove the file',
    exitStatus: 69,
  },
  'PL-1022': {
    what: 'A machine with {count} processors is not available yet',
    why: 'Version {version} runs one virtual processor per machine',
    tryNext: 'plinth run --cpus 1',
    exitStatus: 64,
  },
  'PL-1023': {
    what: "'{name}' is still running after {seconds} seconds",
    why: 'The guest was asked by its {by}, and has not stopped yet; it may be busy, waiting for somebody, or not listening',
    tryNext: 'plinth vm turn-off {name}, which is like pulling the plug',
    exitStatus: 1,
  },
  'PL-1024': {
    what: "'{target}' does not say where the file is to go",
    why: "The second argument is a machine's name, a colon and an absolute path in its guest",
    tryNext: 'plinth vm cp --help',
    exitStatus: 64,
  },
  'PL-1025': {
    what: '{option} does not go with --restore',
    why: 'A saved machine goes on with the hardware, the kernel and the memory that it was saved with',
    tryNext: 'plinth run --restore FILE without {option}',
    exitStatus: 64,
  },
  // (append 1000s above this line)

  // ---- 2000s: input files, loader, images --------------------------------------------------------------------------
  'PL-2001': {
    what: '{file} is not a Linux kernel',
    why: 'A bzImage has the boot signature 55 AA at offset 0x1FE and the word HdrS at 0x202, and this file has not ({reason})',
    tryNext: '--kernel with the vmlinuz file of a Linux distribution for x86-64',
    exitStatus: 65,
  },
  'PL-2002': {
    what: "{file} speaks version {version} of Linux's boot protocol, which is too old",
    why: 'Plinth needs {needed} or newer, which every kernel since 2012 has',
    tryNext: 'a newer kernel',
    exitStatus: 65,
  },
  'PL-2003': {
    what: '{file} is cut short',
    why: 'Its header promises {expected} bytes, but the file has {actual}',
    tryNext: 'a new copy of the kernel; the download or the copy was most likely interrupted',
    exitStatus: 65,
  },
  'PL-2004': {
    what: '{file} does not fit into {memory} MiB of memory',
    why: 'To unpack itself, this kernel needs the addresses up to {needed} MiB',
    tryNext: '--memory {suggested}M or more',
    exitStatus: 65,
  },
  'PL-2005': {
    what: 'The initrd ({size} MiB in all) does not fit into {memory} MiB of memory beside the kernel',
    why: 'The kernel occupies the memory up to {kernelEnd} MiB, and the highest address for the initrd is {limit} MiB',
    tryNext: '--memory {suggested}M or more, or a smaller initrd',
    exitStatus: 65,
  },
  'PL-2006': {
    what: "The kernel's command line is too long",
    why: 'It has {length} bytes, and {file} takes at most {limit}',
    tryNext: 'a shorter --append',
    exitStatus: 64,
  },
  'PL-2007': {
    what: '{file} has no 64-bit entry point',
    why: 'Its header lacks the flag XLF_KERNEL_64: it is a 32-bit kernel, or a very old one',
    tryNext: 'a kernel for x86-64 (amd64)',
    exitStatus: 65,
  },
  'PL-2008': {
    what: 'A machine cannot have {memory} bytes of memory',
    why: 'It takes {minimum} MiB to {maximum} MiB, in whole pages of 4 KiB',
    tryNext: '--memory 512M',
    exitStatus: 64,
  },
  'PL-2009': {
    what: 'The header of {file} contradicts itself',
    why: '{reason}',
    tryNext: 'a new copy of the kernel',
    exitStatus: 65,
  },
  'PL-2010': {
    what: "The kernel's command line has a character that cannot be in it",
    why: 'A zero character ends the command line, so the kernel would never see the rest',
    tryNext: '--append without it',
    exitStatus: 64,
  },
  'PL-2011': {
    what: 'Plinth cannot do what the multiboot header of {file} asks for',
    why: '{reason}',
    tryNext: 'a kernel that asks for no more than modules at page boundaries and memory information',
    exitStatus: 65,
  },
  'PL-2012': {
    what: '{file} has a multiboot header, but cannot be loaded',
    why: '{reason}',
    tryNext:
      'a kernel that is linked as ELF for 32 bits (ld -m elf_i386), or one with addresses in its multiboot header',
    exitStatus: 65,
  },
  'PL-2013': {
    what: 'There is no room in memory for {file}',
    why: 'It needs {what}, and the machine has memory at {ram}',
    tryNext: '--memory with more, or a kernel that is linked for other addresses',
    exitStatus: 65,
  },
  'PL-2101': {
    what: "There is no image named '{name}'",
    why: 'Plinth knows how to build: {known}',
    tryNext: 'plinth image ls',
    exitStatus: 66,
  },
  'PL-2102': {
    what: "The image '{name}' is not built yet",
    why: "An image is made once from Debian's packages, and {folder} has none",
    tryNext: 'plinth image build {name}',
    exitStatus: 66,
  },
  'PL-2103': {
    what: "The image '{name}' cannot be built here: the program {program} was not found",
    why: "Images are made from Debian's packages with apt-get and dpkg-deb, which Debian and its relatives have",
    tryNext:
      'plinth run --kernel VMLINUZ --initrd INITRD with the files of any Linux distribution, or copy {folder} from a Debian machine',
    exitStatus: 66,
  },
  'PL-2104': {
    what: "Debian's packages could not be downloaded",
    why: 'The answer of apt-get was: {reason}',
    tryNext: 'the same command again when the network is back; what was downloaded completely is kept',
    exitStatus: 1,
  },
  'PL-2105': {
    what: "The package '{package}' is not to be had here",
    why: "None of this machine's package sources (/etc/apt) has it for amd64; images are made from Debian 12 or newer",
    tryNext: "add Debian's own source to /etc/apt/sources.list.d, or plinth run --kernel VMLINUZ --initrd INITRD",
    exitStatus: 1,
  },
  'PL-2106': {
    what: "The image '{name}' is damaged",
    why: '{file}: {reason}',
    tryNext: 'plinth image build {name}, which makes it anew',
    exitStatus: 65,
  },
  'PL-2107': {
    what: 'The disk is full',
    why: '{path} has no room left for {purpose}',
    tryNext:
      'free at least {needed} MiB there, or set PLINTH_HOME to a folder on another disk; then the same command again',
    exitStatus: 1,
  },
  'PL-2108': {
    what: "The package '{package}' is not what an image needs",
    why: '{reason}',
    tryNext: 'plinth image build again after an update of the package; if it stays so, file an issue with this message',
    exitStatus: 1,
  },
  'PL-2109': {
    what: '{program} failed while the image was being built',
    why: 'It ended with {status} and said: {reason}',
    tryNext: 'the same command again; if it fails again, file an issue with this message',
    exitStatus: 1,
  },
  'PL-2110': {
    what: 'The shared library {library}, which {program} needs, is in none of the packages',
    why: 'Libraries are taken from the packages named and from the lib... packages that they depend on',
    tryNext: 'name the package that has it too',
    exitStatus: 1,
  },
  'PL-2111': {
    what: 'The folder {path} cannot be used for images',
    why: '{reason}',
    tryNext: 'set PLINTH_HOME to a folder that you may write to',
    exitStatus: 1,
  },
  'PL-2112': {
    what: 'The command is too long for the guest',
    why: 'It has {length} bytes, and the agent takes at most {limit}',
    tryNext: 'the command in a script, given on standard input: --exec sh < SCRIPT',
    exitStatus: 64,
  },
  'PL-2113': {
    what: "The kernel module '{module}' is not there",
    why: 'Neither the modules nor the built-in parts of {release} have it',
    tryNext: 'leave it out, or take another kernel package',
    exitStatus: 1,
  },
  'PL-2201': {
    what: 'The file {path} is not a saved machine',
    why: 'It does not begin as the files do that --save-to writes',
    tryNext: 'the path of a file that plinth run --save-to has written',
    exitStatus: 65,
  },
  'PL-2202': {
    what: 'The saved machine {path} has the format {version}, and this version reads up to {newest}',
    why: 'A newer version of Plinth has written it',
    tryNext: 'the version of Plinth that saved it, or a newer one',
    exitStatus: 65,
  },
  'PL-2203': {
    what: 'The saved machine {path} is truncated',
    why: 'It has {bytes} bytes, and its header tells of {expected}',
    tryNext: 'another copy of the file',
    exitStatus: 65,
  },
  'PL-2204': {
    what: 'The saved machine {path} was altered: {part}',
    why: 'What is there does not agree with the checksum that was written with it',
    tryNext: 'another copy of the file',
    exitStatus: 65,
  },
  'PL-2205': {
    what: "The saved machine {path} has a part '{part}' of version {version}, which this version does not read",
    why: 'This version knows {known}; a newer version of Plinth has written the file',
    tryNext: 'the version of Plinth that saved it, or a newer one',
    exitStatus: 65,
  },
  'PL-2206': {
    what: 'The saved machine {path} is malformed: {problem}',
    why: 'Its checksums are right, so whoever wrote it made it so',
    tryNext: 'another copy of the file, or a new machine',
    exitStatus: 65,
  },
  'PL-2207': {
    what: 'The saved machine {path} needs what this version has not: {feature}',
    why: 'A machine goes on with exactly the hardware that its guest has found',
    tryNext: 'the version of Plinth that saved it, or a newer one',
    exitStatus: 65,
  },
  // (append 2000s above this line)

  // ---- 3000s: worker and host --------------------------------------------------------------------------------------
  'PL-3001': {
    what: 'Plinth has a fault: {message}',
    why: 'This is never caused by the guest or by what you typed; the report is {report}',
    tryNext: 'the same command again; if it fails again, file an issue with the report',
    exitStatus: 70,
  },
  'PL-3002': {
    what: 'The time limit of {seconds} seconds passed and the machine was turned off',
    why: '--timeout ends a run that has not ended by itself',
    tryNext: 'a greater --timeout, or --console stdio to see what the guest is waiting for',
    exitStatus: 124,
  },
  'PL-3003': {
    what: "Plinth's folder {path} cannot be used",
    why: '{reason}',
    tryNext: 'PLINTH_HOME=DIRECTORY, naming a folder that you can write to',
    exitStatus: 66,
  },
  'PL-3004': {
    what: 'The control socket {path} cannot be opened',
    why: '{reason}',
    tryNext:
      'PLINTH_HOME=DIRECTORY with a short path (a socket path may have about 100 characters) that you can write to',
    exitStatus: 66,
  },
  'PL-3005': {
    what: 'The file {path} for {option} cannot be written',
    why: '{reason}',
    tryNext: 'a path in a folder that exists and that you can write to',
    exitStatus: 66,
  },
  'PL-3006': {
    what: 'The file {path} for {option} cannot be read',
    why: '{reason}',
    tryNext: 'ls -l {path}',
    exitStatus: 66,
  },
  'PL-3007': {
    what: 'The host cannot give the machine {memory} MiB of memory',
    why: 'The address space for the guest was refused, most often by a limit on virtual memory (ulimit -v)',
    tryNext: 'a smaller --memory, or ulimit -v unlimited',
    exitStatus: 70,
  },
  'PL-3008': {
    what: "The control socket does not understand '{command}'",
    why: 'A request is one line of JSON whose command is one of identify, inspect, pause, resume, reset, stop, turn-off, services, set-service, kvp, copy-file, freeze, thaw, exec, save',
    tryNext: 'plinth inspect, of the same version as the running machine',
    exitStatus: 1,
  },
  'PL-3009': {
    what: 'The guest ended before the command did',
    why: 'It powered off or restarted while the command was still running or had not been started',
    tryNext: 'the same command with --console file:console.log, and see why',
    exitStatus: 75,
  },
  'PL-3010': {
    what: "PLINTH_TRANSLATOR is '{value}', which is no way of translating",
    why: 'It says how guest code becomes WebAssembly: off (only interpreted), on (when it is hot) or force (before it first runs)',
    tryNext: 'PLINTH_TRANSLATOR=off, on or force; without it, it is on',
    exitStatus: 64,
  },
  'PL-3011': {
    what: "The control socket's command '{command}' lacks its parameter '{parameter}'",
    why: 'It takes {expected} for it',
    tryNext: 'plinth vm --help, of the same version as the running machine',
    exitStatus: 1,
  },
  'PL-3012': {
    what: "The agent in '{name}' has not reported",
    why: 'It runs commands for the host; it starts at the end of the boot, and only in images of plinth image',
    tryNext: 'the same command when the guest has booted, or its console',
    exitStatus: 1,
  },
  'PL-3014': {
    what: 'The debugger cannot be waited for on port {port} ({reason})',
    why: 'Another program listens there, or ports below 1024 are refused to you',
    tryNext: 'another port with --gdb, or --gdb 0 for a free one',
    exitStatus: 69,
  },
  'PL-3015': {
    what: "The machine '{name}' has no file to be saved to",
    why: 'A machine in the foreground is saved to the file that its --save-to names',
    tryNext: 'plinth vm save {name} --to FILE, or plinth run with --save-to FILE',
    exitStatus: 1,
  },
  'PL-3016': {
    what: 'The machine was not saved: {reason}',
    why: 'Only a machine that runs can be saved, and nothing of it may be under way',
    tryNext: 'the same command in a few seconds',
    exitStatus: 1,
  },
  'PL-3101': {
    what: 'The VM cannot be saved at this moment',
    why: 'A device is still finishing work in memory that the guest has taken back',
    tryNext: 'the same command again',
    exitStatus: 1,
  },
  'PL-3201': {
    what: "The guest's {service} service cannot be used now",
    why: '{reason}',
    tryNext: '{remedy}',
    exitStatus: 1,
  },
  'PL-3202': {
    what: 'The guest did not {action}',
    why: '{reason}',
    tryNext: '{remedy}',
    exitStatus: 1,
  },
  'PL-3203': {
    what: "'{value}' cannot be sent to the guest",
    why: '{reason}',
    tryNext: 'a shorter one',
    exitStatus: 1,
  },
  // (append 3000s above this line)

  // ---- 4000s: guest crash, processor, hypervisor -------------------------------------------------------------------
  'PL-4001': {
    what: 'The guest crashed: {reason}',
    why: 'Its operating system said so, by a fatal error record or through the crash registers of the hypervisor; the report is {report}',
    tryNext: 'the last lines of the console in the report; they name the cause',
    exitStatus: 75,
  },
  'PL-4002': {
    what: 'The guest crashed: triple fault at {address}',
    why: 'It could not handle an exception ({exceptions}), and a processor then shuts down; the report is {report}',
    tryNext: 'the report: registers, the last exceptions, the last branches, the code bytes',
    exitStatus: 75,
  },
  'PL-4003': {
    what: 'The guest stopped for good at {address}: it halted with interrupts off',
    why: 'Nothing can wake a processor that halts this way, and the machine was not powered off; the report is {report}',
    tryNext: 'poweroff instead of halt, if it was on purpose; otherwise the last lines of the console in the report',
    exitStatus: 75,
  },
  'PL-4004': {
    what: 'The guest needs what this version does not have: {what}, at {address}',
    why: 'The software processor names what it cannot execute instead of guessing; the report is {report}',
    tryNext: 'another kernel; CHANGELOG.md tells what each version can execute',
    exitStatus: 75,
  },
  'PL-4005': {
    what: 'The guest panicked and reset the machine',
    why: 'It did so with a warm start, as Plinth tells Linux to do in a panic (reboot=panic_warm); it has not said why, as a kernel without support for Hyper-V cannot before its ACPI is up; the report is {report}',
    tryNext:
      'the last lines of the console, which are in the report too: they name the cause, such as too little --memory',
    exitStatus: 75,
  },
  'PL-4006': {
    what: 'The processor interprets {instruction} at {address}, which has a translation',
    why: 'PLINTH_TRANSLATOR=force asks that all 64-bit code and flat 32-bit code is translated before it runs, but for instructions that are listed with their reason',
    tryNext: 'PLINTH_TRANSLATOR=on to go on, and a bug report with the instruction; this is a fault of Plinth',
    exitStatus: 70,
  },
  'PL-4101': {
    what: "The shared state '{state}' cannot be laid out: {problem}",
    why: 'Every thread of a VM must be of one build and agree on where its devices keep their state',
    tryNext: 'plinth inspect and a bug report; this is a fault of Plinth',
    exitStatus: 70,
  },
  'PL-4102': {
    what: "The saved state holds a device '{device}' that this VM does not have",
    why: 'The VM was saved with other hardware, or by a version of Plinth that has more devices',
    tryNext: 'restore with the configuration and the version of Plinth that saved it',
    exitStatus: 65,
  },
  'PL-4103': {
    what: "The saved state of '{device}' has version {version}; this build reads up to version {newest}",
    why: 'It was saved by a newer version of Plinth',
    tryNext: 'restore with that version, or a newer one',
    exitStatus: 65,
  },
  'PL-4104': {
    what: "The saved state of '{device}' is malformed: {problem}",
    why: 'The file was damaged or was not written by Plinth',
    tryNext: 'another copy of the saved state, or start the VM without it',
    exitStatus: 65,
  },
  'PL-4105': {
    what: 'The guest-physical range {start} to {end} cannot be mapped: {problem}',
    why: 'Ranges are whole 4 KiB pages inside the memory that the partition was created with',
    tryNext: 'plinth inspect and a bug report; this is a fault of Plinth',
    exitStatus: 70,
  },
  'PL-4106': {
    what: "The lock of the shared state '{state}' stayed taken for {seconds} s",
    why: 'A thread of this VM ended or hung while it held the lock',
    tryNext: 'turn the VM off and start it again, and report the bug with its support bundle',
    exitStatus: 70,
  },
  'PL-4107': {
    what: "The devices '{device}' and '{other}' both claim {resource}",
    why: 'Ports, memory ranges, MSRs and names belong to one device each',
    tryNext: 'the VM without one of the two devices',
    exitStatus: 70,
  },
  'PL-4108': {
    what: 'A table of the partition is full: {table} holds at most {limit} entries',
    why: 'The tables that processors share are of a fixed size',
    tryNext: 'plinth inspect and a bug report; this is a fault of Plinth',
    exitStatus: 70,
  },
  'PL-4110': {
    what: 'The hypervisor refused {call}: {status}',
    why: 'The worker drives its partition by calls of the hypervisor, and this one was not allowed or not possible now',
    tryNext: 'plinth inspect hypervisor, and a bug report; this is a fault of Plinth',
    exitStatus: 70,
  },
  'PL-4111': {
    what: 'The hypervisor does not launch: the virtual processor cannot protect pages from execution (HV_STATUS_NX_NOT_DETECTED)',
    why: 'Data execution prevention is a requirement of Hyper-V, and CPUID does not tell of NX (leaf 0x80000001, EDX bit 20)',
    tryNext: 'the same command without -nx in --cpu-features; plinth host check tells of every requirement',
    exitStatus: 64,
  },
  // (append 4000s above this line)

  // ---- 5000s: chipset ----------------------------------------------------------------------------------------------
  // (append 5000s above this line)
} as const satisfies Record<`PL-${number}`, CatalogueEntry>;

/** A code of the catalogue. */
export type ErrorCode = keyof typeof catalogue;
