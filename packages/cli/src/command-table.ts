/**
 * Every command and option of Plinth, as data. The parser (`command-line.ts`), the help texts, the shell completions
 * (`completion.ts`) and `docs/reference/cli.md` (`command-reference.ts`) are made from this table.
 *
 * Commands and options that are promised but not built stand here too, with `built: false`: they are refused by name, with a
 * code of the catalogue, and are not offered by help or completion.
 */

/** An option, always `--flag` or `--flag VALUE`. */
export interface OptionDefinition {
  readonly flag: `--${string}`;
  /** One letter, for the few options that have it. */
  readonly short?: `-${string}`;
  /** Name of the value in help texts; absent for a switch. */
  readonly value?: string;
  readonly repeatable?: boolean;
  readonly choices?: readonly string[];
  /** The value when the option is not given. */
  readonly default?: string;
  /** What a shell can complete the value to. */
  readonly completes?: 'file' | 'image' | 'machine';
  readonly description: string;
  readonly built: boolean;
}

/** A positional argument. */
export interface ArgumentDefinition {
  readonly name: string;
  readonly required: boolean;
  /** It and all that follow it. */
  readonly variadic?: boolean;
  readonly completes?: 'image' | 'shell' | 'inspect-path' | 'code';
  readonly description: string;
}

export interface ExampleDefinition {
  readonly command: string;
  readonly description: string;
}

export interface CommandDefinition {
  /** The words that name it, such as `image ls`. */
  readonly name: string;
  readonly summary: string;
  readonly arguments: readonly ArgumentDefinition[];
  readonly options: readonly OptionDefinition[];
  readonly examples: readonly ExampleDefinition[];
  /** What its exit statuses mean, where it has more than 0, 1 and 64. */
  readonly exitStatuses?: Readonly<Record<string, string>>;
  readonly built: boolean;
}

export const outputFormats = ['table', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

export const completionShells = ['bash', 'zsh', 'fish'] as const;

/** The image that `plinth run` boots when none is named. */
export const defaultImage = 'debian-tiny';

const outputOption: OptionDefinition = {
  flag: '--output',
  short: '-o',
  value: 'FORMAT',
  choices: outputFormats,
  default: 'table',
  description: 'how to print the result',
  built: true,
};

const runOptions: readonly OptionDefinition[] = [
  {
    flag: '--kernel',
    value: 'FILE',
    completes: 'file',
    description: 'boot this Linux bzImage, or this multiboot kernel (ELF32), instead of an image',
    built: true,
  },
  {
    flag: '--initrd',
    value: 'FILE',
    repeatable: true,
    completes: 'file',
    description:
      'an initial RAM file system for --kernel; several are concatenated in the order given; for a multiboot kernel, a module',
    built: true,
  },
  {
    flag: '--append',
    value: 'TEXT',
    description: "the kernel's command line, for --kernel; it follows Plinth's own panic=-1 reboot=panic_warm",
    built: true,
  },
  { flag: '--memory', value: 'SIZE', default: '512M', description: 'size of RAM; units are binary', built: true },
  { flag: '--cpus', value: 'COUNT', default: '1', description: 'number of virtual processors', built: true },
  {
    flag: '--generation',
    value: 'N',
    choices: ['1', '2'],
    default: '1',
    description: '1 has emulated devices, 2 has synthetic devices only: no i8254, no i8259 pair',
    built: true,
  },
  {
    flag: '--engine',
    value: 'NAME',
    choices: ['auto', 'software', 'kvm'],
    default: 'auto',
    description: "what runs the guest's instructions (kvm is not built yet)",
    built: true,
  },
  {
    flag: '--disk',
    value: 'FILE[,readonly][,bus=scsi|ide]',
    repeatable: true,
    completes: 'file',
    description: 'attach a virtual disk',
    built: false,
  },
  { flag: '--dvd', value: 'FILE', completes: 'file', description: 'insert an ISO image', built: false },
  {
    flag: '--net',
    value: 'NAME|none[,mac=..]',
    repeatable: true,
    description: 'connect a network adapter to a switch',
    built: false,
  },
  {
    flag: '--forward',
    value: 'tcp|udp:[ADDR:]HOSTPORT:GUESTPORT',
    repeatable: true,
    description: "forward a port of the host to the guest's",
    built: false,
  },
  {
    flag: '--exec',
    value: 'COMMAND',
    description:
      "run COMMAND with the image's shell and end with its exit status; only its output is on standard output",
    built: true,
  },
  {
    flag: '--timeout',
    value: 'SECONDS',
    description: 'turn the machine off after this time, with status 124',
    built: true,
  },
  {
    flag: '--console',
    value: 'stdio|none|file:PATH',
    description: "where the guest's first serial port goes (default: stdio, or none with --exec)",
    built: true,
  },
  { flag: '--restore', value: 'FILE', completes: 'file', description: 'resume a saved machine', built: true },
  {
    flag: '--save-to',
    value: 'FILE',
    completes: 'file',
    description: 'save the machine where the run would end',
    built: true,
  },
  { flag: '--name', value: 'NAME', description: 'a name for plinth inspect from another terminal', built: true },
  {
    flag: '--mark',
    value: 'TEXT',
    repeatable: true,
    description: "record when TEXT first appears on the guest's console (see --stats)",
    built: true,
  },
  {
    flag: '--debug-exit',
    value: 'PORT',
    description: 'a guest write of v to PORT ends the run with status (v << 1) | 1',
    built: true,
  },
  {
    flag: '--gdb',
    value: 'PORT',
    description: 'wait for the GNU debugger on this port of this machine before the first instruction',
    built: true,
  },
  {
    flag: '--stats',
    value: 'FILE',
    completes: 'file',
    description: 'write figures of the run as JSON when it ends',
    built: true,
  },
  {
    flag: '--pcap',
    value: 'FILE',
    completes: 'file',
    description: "record the network adapters' frames",
    built: false,
  },
  {
    flag: '--trace',
    value: 'TOPIC,..',
    repeatable: true,
    description: 'print what happens under these topics to standard error',
    built: true,
  },
  {
    flag: '--cpu-features',
    value: 'LIST',
    description: 'the processor’s level (v1, v2, v3) and single features, such as v3 or -hypervisor,+avx2',
    built: true,
  },
];

/** What `plinth vm ...` takes first: names may be shortened. */
const machineArgument: ArgumentDefinition = {
  name: 'NAME',
  required: true,
  description: 'a running machine; its name may be shortened',
};

const vmExitStatuses = { 1: 'refused or failed', 64: 'wrong usage', 69: 'the machine does not answer' } as const;

/** A command about one running machine that takes nothing else. */
const simpleVm = (verb: string, summary: string): CommandDefinition => ({
  name: `vm ${verb}`,
  summary,
  arguments: [machineArgument],
  options: [],
  examples: [{ command: `plinth vm ${verb} web`, description: summary }],
  exitStatuses: vmExitStatuses,
  built: true,
});

/** Services as `plinth vm show` names them. */
const serviceVm = (verb: string, summary: string): CommandDefinition => ({
  name: `vm ${verb}`,
  summary,
  arguments: [
    machineArgument,
    {
      name: 'SERVICE',
      required: true,
      description:
        'shutdown, time-sync, heartbeat, kvp, vss or file-copy, or as Hyper-V names it: "Guest Service Interface"',
    },
  ],
  options: [],
  examples: [{ command: `plinth vm ${verb} web file-copy`, description: summary }],
  exitStatuses: vmExitStatuses,
  built: true,
});

const notBuilt = (name: string, summary: string): CommandDefinition => ({
  name,
  summary,
  arguments: [],
  options: [],
  examples: [],
  built: false,
});

export const commands: readonly CommandDefinition[] = [
  {
    name: 'run',
    summary: 'run one virtual machine in the foreground; no service is needed',
    arguments: [
      {
        name: 'IMAGE',
        required: false,
        completes: 'image',
        description: `a name of plinth image ls (default: ${defaultImage})`,
      },
    ],
    options: runOptions,
    examples: [
      { command: 'plinth run', description: 'the default guest with its console attached; Ctrl+] then q leaves' },
      { command: "plinth run --exec 'uname -a'", description: 'run one command in a fresh guest' },
      {
        command: "plinth run --kernel bzImage --initrd initrd.img --append 'console=ttyS0' --memory 1G",
        description: 'boot a kernel of your own',
      },
      {
        command: "plinth run --mark 'login:' --stats stats.json --timeout 120",
        description: 'measure the time until a text appears on the console',
      },
    ],
    exitStatuses: {
      0: 'the guest powered off, or you left the console with Ctrl+] q',
      '(of COMMAND)': 'with --exec',
      64: 'wrong usage',
      65: 'an input file is not what it should be',
      66: 'an input file is missing or unreadable',
      70: 'a fault of Plinth; a report file is named',
      75: 'the guest crashed; the reason is printed',
      124: 'the --timeout passed',
      '128 + n': 'ended by signal n',
    },
    built: true,
  },
  {
    name: 'image ls',
    summary: 'list the guest images, built or not',
    arguments: [],
    options: [outputOption],
    examples: [
      { command: 'plinth image ls', description: 'a table' },
      { command: 'plinth image ls -o json', description: 'for programs' },
    ],
    built: true,
  },
  {
    name: 'image build',
    summary: "build a guest image from Debian's packages",
    arguments: [
      {
        name: 'IMAGE',
        required: false,
        completes: 'image',
        description: `the image to build (default: ${defaultImage})`,
      },
    ],
    options: [{ flag: '--if-missing', description: 'do nothing when it is built already', built: true }],
    examples: [
      { command: `plinth image build ${defaultImage}`, description: 'download what it needs, once, and build it' },
    ],
    built: true,
  },
  {
    name: 'image rm',
    summary: 'remove a built image; it can be built again',
    arguments: [{ name: 'IMAGE', required: true, completes: 'image', description: 'the image to remove' }],
    options: [],
    examples: [{ command: `plinth image rm ${defaultImage}`, description: 'free its space' }],
    built: true,
  },
  {
    name: 'inspect',
    summary: 'look into running machines, live',
    arguments: [
      {
        name: 'PATH',
        required: false,
        completes: 'inspect-path',
        description: 'where to look, such as vms, vms/NAME/partition or hypervisor; the top when absent',
      },
    ],
    options: [outputOption],
    examples: [
      { command: 'plinth inspect vms', description: 'the running machines' },
      { command: 'plinth inspect vms/NAME', description: 'everything about one (its name may be shortened)' },
      { command: 'plinth inspect vms/NAME/partition/devices -o json', description: "the devices' state, for programs" },
      {
        command: 'plinth inspect hypervisor',
        description: 'the partitions of this host: privileges, SynICs, timers, ports',
      },
    ],
    exitStatuses: {
      1: 'nothing is there',
      64: 'wrong usage',
      69: 'the machine does not answer',
    },
    built: true,
  },
  {
    name: 'vm ls',
    summary: 'list the running machines, with how their guests are',
    arguments: [],
    options: [outputOption],
    examples: [
      { command: 'plinth vm ls', description: 'a table' },
      { command: 'plinth vm ls -o json', description: 'for programs' },
    ],
    built: true,
  },
  {
    name: 'vm show',
    summary: "show a machine's integration services, and what to do about those that do not work",
    arguments: [machineArgument],
    options: [outputOption],
    examples: [{ command: 'plinth vm show web', description: 'heartbeat, addresses, each service and its version' }],
    exitStatuses: vmExitStatuses,
    built: true,
  },
  {
    name: 'vm stop',
    summary: 'ask the guest to stop, and wait until it has',
    arguments: [machineArgument],
    options: [
      { flag: '--force', description: 'even where somebody works in the guest', built: true },
      { flag: '--reboot', description: 'restart it instead, and do not wait', built: true },
      { flag: '--timeout', value: 'SECONDS', default: '120', description: 'how long to wait', built: true },
    ],
    examples: [
      { command: 'plinth vm stop web', description: 'by its shutdown service, or its power button where it has none' },
      { command: 'plinth vm stop web --reboot', description: 'restart the guest' },
    ],
    exitStatuses: vmExitStatuses,
    built: true,
  },
  simpleVm('turn-off', 'turn a machine off, like pulling the plug'),
  simpleVm('reset', 'reset a machine, as its reset button would'),
  simpleVm('pause', "stop a machine's processors"),
  simpleVm('resume', 'let a paused machine go on, and set its clock'),
  serviceVm('enable', 'switch an integration service on'),
  serviceVm('disable', 'switch an integration service off: its device is taken from the guest'),
  {
    ...simpleVm('save', 'save a machine to its file and end its run'),
    options: [
      {
        flag: '--to',
        value: 'FILE',
        completes: 'file',
        description: 'another file than the one of its --save-to',
        built: true,
      },
    ],
    examples: [
      { command: 'plinth vm save web', description: 'to the file that plinth run --save-to named' },
      { command: 'plinth vm save web --to web.saved', description: 'to this one' },
    ],
  },
  simpleVm('freeze', "write out and hold still the guest's file systems, for a backup"),
  simpleVm('thaw', "let the guest's file systems go on"),
  {
    name: 'vm exec',
    summary: 'run a command in the guest, as if it ran here',
    arguments: [
      machineArgument,
      { name: 'COMMAND', required: true, variadic: true, description: "for the image's shell; -- keeps its options" },
    ],
    options: [],
    examples: [
      {
        command: 'plinth vm exec web -- uname -a',
        description: 'its output, errors and exit status are those of the command',
      },
      { command: 'plinth vm exec web -- tee /tmp/notes <notes.txt', description: 'its standard input is this one' },
    ],
    exitStatuses: { '(of COMMAND)': 'when it ran', ...vmExitStatuses },
    built: true,
  },
  {
    name: 'vm cp',
    summary: 'copy a file into the guest',
    arguments: [
      { name: 'FILE', required: true, description: 'a file here' },
      {
        name: 'NAME:PATH',
        required: true,
        description: 'a running machine and an absolute path; a folder ends with /',
      },
    ],
    options: [
      { flag: '--force', description: 'replace a file that is there', built: true },
      { flag: '--parents', description: 'make the folder, and those above it', built: true },
    ],
    examples: [{ command: 'plinth vm cp notes.txt web:/var/tmp/', description: 'by the guest services of the guest' }],
    exitStatuses: { ...vmExitStatuses, 66: 'the file cannot be read' },
    built: true,
  },
  {
    name: 'vm kvp',
    summary: 'read and write key-value pairs that host and guest share',
    arguments: [
      machineArgument,
      { name: 'OPERATION', required: false, description: 'list (default), get, set or rm' },
      { name: 'KEY', required: false, description: 'at most 255 characters' },
      { name: 'VALUE', required: false, description: 'for set, at most 1023 characters' },
    ],
    options: [
      {
        flag: '--pool',
        value: 'POOL',
        choices: ['external', 'guest', 'auto', 'auto-external', 'auto-internal'],
        default: 'external',
        description: "whose pairs: the host's, those of the guest's programs, what the guest's system says of itself..",
        built: true,
      },
      outputOption,
    ],
    examples: [
      { command: 'plinth vm kvp web list --pool auto', description: "the guest's system, name and addresses" },
      { command: 'plinth vm kvp web set color blue', description: 'in the guest: /var/lib/hyperv/.kvp_pool_0' },
    ],
    exitStatuses: { ...vmExitStatuses, 1: 'refused, failed, or there is no such key' },
    built: true,
  },
  {
    name: 'vm ip',
    summary: "show or set the addresses of an adapter in the guest, through the guest's own daemon",
    arguments: [
      machineArgument,
      {
        name: 'ADAPTER',
        required: true,
        description: 'to show: its hardware address; to set: the Device_ID that lsvmbus -v shows in the guest',
      },
    ],
    options: [
      {
        flag: '--address',
        value: 'ADDRESS/BITS',
        repeatable: true,
        description: 'set: an IPv4 or IPv6 address and the bits of its network',
        built: true,
      },
      { flag: '--gateway', value: 'ADDRESS', repeatable: true, description: 'set: a gateway', built: true },
      { flag: '--dns', value: 'ADDRESS', repeatable: true, description: 'set: a name server', built: true },
      { flag: '--dhcp', description: 'set: IPv4 addresses by DHCP', built: true },
      outputOption,
    ],
    examples: [
      { command: 'plinth vm ip web 00:15:5d:01:02:03', description: 'what it has' },
      {
        command: 'plinth vm ip web f8615163-df3e-46c5-913f-f2d2f965ed0e --address 192.0.2.5/24 --gateway 192.0.2.1',
        description: 'in the guest: hv_set_ifconfig, started by hv_kvp_daemon',
      },
    ],
    exitStatuses: vmExitStatuses,
    built: true,
  },
  {
    name: 'host check',
    summary: 'check what this machine has of what Plinth needs, and tell what to do about the rest',
    arguments: [],
    options: [outputOption],
    examples: [
      { command: 'plinth host check', description: 'a table, and a remedy for each thing that is not there' },
      { command: 'plinth host check -o json', description: 'for programs' },
    ],
    exitStatuses: { 1: 'something is missing without which no virtual machine runs', 64: 'wrong usage' },
    built: true,
  },
  {
    name: 'explain',
    summary: 'explain an error code',
    arguments: [
      { name: 'CODE', required: true, completes: 'code', description: 'a code such as PL-1001, or only its number' },
    ],
    options: [outputOption],
    examples: [{ command: 'plinth explain PL-1001', description: 'what it means and what to do next' }],
    built: true,
  },
  {
    name: 'completion',
    summary: 'print a script that completes words in your shell',
    arguments: [{ name: 'SHELL', required: true, completes: 'shell', description: completionShells.join(', ') }],
    options: [],
    examples: [
      { command: 'source <(plinth completion bash)', description: 'for this bash' },
      {
        command: 'plinth completion fish > ~/.config/fish/completions/plinth.fish',
        description: 'for every fish from now on',
      },
    ],
    built: true,
  },
  notBuilt('image pull', 'fetch an image'),
  ...['start', 'stop', 'status', 'info', 'events'].map((verb) => notBuilt(`host ${verb}`, 'the management service')),
  ...['create', 'set', 'start', 'rename', 'rm', 'console', 'wait', 'export', 'import'].map((verb) =>
    notBuilt(`vm ${verb}`, 'virtual machines that the management service keeps'),
  ),
  notBuilt('checkpoint', 'checkpoints of virtual machines'),
  notBuilt('disk', 'virtual disks'),
  notBuilt('switch', 'virtual switches'),
  notBuilt('net', 'network adapters'),
  notBuilt('job', "the service's long-running jobs"),
];

/**
 * Whether a word is one of Hyper-V's own verbs, such as `Get-VM` or `New-VHD`, which Plinth promises to know in any letter
 * case. Nouns are those of Hyper-V's PowerShell module.
 */
export function isHyperVVerb(word: string): boolean {
  return /^(add|checkpoint|compare|complete|connect|convert|copy|debug|disable|disconnect|dismount|enable|export|get|grant|import|initialize|invoke|measure|merge|mount|move|new|optimize|remove|rename|repair|reset|resize|restart|restore|resume|revoke|save|set|start|stop|suspend|test|update|wait)-(vm|vhd)[a-z0-9]*$/i.test(
    word,
  );
}
