/**
 * Finds a region: the basic blocks that are reached from a hot block within the windows of code around it, and their structure.
 *
 * The region has one entry. A call of code in the region goes on there, and a return compares its target with the places behind those
 * calls. Edges out of the windows, to instructions that have no translation, to other regions, or beyond the size limits are exits.
 * Offsets are distances in linear addresses from the start of the entry's page; code-windows.ts knows where their code is.
 * The graph is reducible: an edge that would make it irreducible becomes an exit too. Blocks come in reverse postorder.
 * Answers to: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm". Called by: region-compiler.ts; read by region-emitter.ts.
 */
import { WINDOWS_BYTES, windowOf } from './code-windows.ts';
import { FLOW, type Instruction } from './instruction.ts';

const LIMITS = { instructions: 256, blocks: 48, calls: 6 } as const;

/** How a block ends. */
export type Terminator =
  | { readonly kind: 'fall'; readonly next: number }
  | { readonly kind: 'jump'; readonly target: number }
  | { readonly kind: 'branch'; readonly condition: number; readonly target: number; readonly next: number }
  | { readonly kind: 'call'; readonly target: number; readonly followed: boolean }
  /** A return; `places` are those behind the region's own calls, where it may go on. */
  | { readonly kind: 'return'; readonly instruction: Instruction; readonly places: readonly number[] }
  | { readonly kind: 'computed'; readonly instruction: Instruction }
  /** To or from another privilege level: the core knows where it goes on. */
  | { readonly kind: 'system'; readonly instruction: Instruction }
  /** The next instruction has no translation: the interpreter goes on there. */
  | { readonly kind: 'interpret'; readonly at: number };

export interface BasicBlock {
  readonly start: number;
  readonly instructions: readonly Instruction[];
  readonly terminator: Terminator;
}

export interface RegionNode {
  readonly block: BasicBlock;
  /** Number of the window that the block lies in. */
  readonly window: number;
  /** Position in reverse postorder. */
  order: number;
  /** Number that the block's first instruction has in the region, where those of the blocks follow each other. */
  first: number;
  /** Successors inside the region; other targets of the block are exits. */
  successors: RegionNode[];
  /** Orders of the nodes that lead here. */
  predecessors: number[];
  immediateDominator: number;
  loopHeader: boolean;
  /** More than one forward edge leads here. */
  merge: boolean;
  /** Merge nodes that this one dominates immediately, the last in order first. */
  readonly merges: RegionNode[];
}

export interface Region {
  readonly entry: number;
  /** Offsets of the windows' first bytes, by their numbers, up to the last that has code of the region. */
  readonly windows: readonly number[];
  /** It is 32-bit code; else 64-bit code. */
  readonly code32: boolean;
  readonly nodes: readonly RegionNode[];
  readonly instructions: number;
  /** General registers that its instructions read or write: bits by number; and their traits, bits of TRAIT. */
  readonly registers: number;
  readonly traits: number;
}

/** The node inside the region to which another one leads at an offset; undefined: that is an exit. */
export function successorAt(node: RegionNode, offset: number): RegionNode | undefined {
  const { successors } = node;
  for (let at = 0; at < successors.length; at++) {
    const successor = successors[at];
    if (successor !== undefined && successor.block.start === offset) return successor;
  }
  return undefined;
}

export interface RegionSource {
  /** Whether it is 32-bit code; else it is 64-bit code. */
  code32(): boolean;
  /** Offsets of the windows' first bytes. */
  readonly windows: readonly number[];
  /** Where an offset is in the windows, which lie one behind the other; -1: in none. */
  place(offset: number): number;
  /** The instruction at an offset, whose place is given; undefined when it crosses its window's end or is undefined. */
  decode(offset: number, place: number): Instruction | undefined;
  /** Whether a block at the place has been executed. */
  executed(place: number): boolean;
  /** Whether another region begins at the place: it is left to that one. */
  region(place: number): boolean;
  /** Whether the emitter knows the instruction. */
  translatable(instruction: Instruction): boolean;
}

/** What is known of each offset while one region is discovered. */
const SEEN = 1;
const LEADER = 2;

/** The straight-line runs of one region: instructions by place in the windows, and where blocks begin. */
class Discovery {
  readonly marks = new Uint8Array(WINDOWS_BYTES);
  readonly instructions: (Instruction | undefined)[] = new Array(WINDOWS_BYTES).fill(undefined);
  readonly leaders: number[] = [];
  /** Offsets behind calls that are followed. */
  readonly places: number[] = [];
  /** Or'ed over the instructions of the blocks that were asked for; see Region. */
  registers = 0;
  traits = 0;
  readonly #touched: number[] = [];
  readonly #work: number[] = [];
  #source: RegionSource | undefined;

  /** Forgets the last region; the next is looked for in `source`. */
  reset(source: RegionSource): void {
    const touched = this.#touched;
    for (let at = 0; at < touched.length; at++) this.instructions[touched[at] ?? 0] = undefined;
    touched.length = 0;
    this.registers = 0;
    this.traits = 0;
    this.marks.fill(0);
    this.leaders.length = 0;
    this.places.length = 0;
    this.#work.length = 0;
    this.#source = source;
  }

  place(offset: number): number {
    return this.#source?.place(offset) ?? -1;
  }

  #lead(offset: number): boolean {
    const place = this.place(offset);
    if (place < 0 || ((this.marks[place] ?? 0) & LEADER) !== 0) return false;
    this.marks[place] = (this.marks[place] ?? 0) | LEADER;
    this.leaders.push(offset);
    return true;
  }
  #follow(offset: number): void {
    if (this.#lead(offset)) this.#work.push(offset);
  }

  run(entry: number, source: RegionSource): void {
    this.#follow(entry);
    for (let at = 0; at < this.#work.length; at++) this.#straight(this.#work[at] ?? entry, entry, source);
  }

  #straight(start: number, entry: number, source: RegionSource): void {
    const { marks, instructions } = this;
    const touched = this.#touched;
    let offset = start;
    let place = this.place(offset);
    const window = windowOf(place);
    while (place >= 0 && ((marks[place] ?? 0) & SEEN) === 0) {
      if (windowOf(place) !== window) {
        // A block lies in one window.
        this.#follow(offset);
        return;
      }
      if (offset !== entry) {
        const full = touched.length >= LIMITS.instructions || this.leaders.length > LIMITS.blocks;
        if (full || source.region(place)) {
          // Whatever is there goes on as a region or block of its own.
          this.#lead(offset);
          return;
        }
      }
      const instruction = source.decode(offset, place);
      if (instruction === undefined || !source.translatable(instruction)) return;
      instructions[place] = instruction;
      touched.push(place);
      marks[place] = (marks[place] ?? 0) | SEEN;
      const { flow, next } = instruction;
      if (flow !== FLOW.plain) {
        const target = offset + instruction.displacement;
        const targetPlace = this.place(target);
        const inside = targetPlace >= 0;
        if (flow === FLOW.branch) {
          if (inside && source.executed(targetPlace)) this.#follow(target);
          this.#lead(next);
        } else {
          if (flow === FLOW.jump && inside) this.#follow(target);
          else if (flow === FLOW.call && inside && this.places.length < LIMITS.calls && source.executed(targetPlace)) {
            if (!source.region(targetPlace)) {
              this.places.push(next);
              this.#follow(target);
              this.#follow(next);
            }
          }
          return;
        }
      }
      offset = next;
      place = this.place(offset);
    }
  }

  /** Whether the call at the offset is one that the region follows. */
  #followed(next: number, target: number): boolean {
    const place = this.place(target);
    return place >= 0 && this.places.includes(next) && ((this.marks[place] ?? 0) & SEEN) !== 0;
  }

  blockAt(start: number): BasicBlock {
    const list: Instruction[] = [];
    const { instructions, marks } = this;
    let { registers, traits } = this;
    let offset = start;
    let place = this.place(start);
    const window = windowOf(place);
    let terminator: Terminator | undefined;
    do {
      const instruction = place >= 0 ? instructions[place] : undefined;
      if (instruction === undefined) {
        terminator = { kind: 'interpret', at: offset };
        break;
      }
      list.push(instruction);
      registers |= instruction.registers;
      traits |= instruction.facts.traits;
      const { next } = instruction;
      place = this.place(next);
      if (instruction.flow !== FLOW.plain) terminator = this.#terminator(instruction);
      // Beyond the window's end another block goes on, or another region.
      else if (windowOf(place) !== window || ((marks[place] ?? 0) & LEADER) !== 0) terminator = { kind: 'fall', next };
      offset = next;
    } while (terminator === undefined);
    this.registers = registers;
    this.traits = traits;
    return { start, instructions: list, terminator };
  }

  #terminator(instruction: Instruction): Terminator {
    const { next } = instruction;
    const target = instruction.offset + instruction.displacement;
    switch (instruction.flow) {
      case FLOW.branch:
        return { kind: 'branch', condition: instruction.facts.condition, target, next };
      case FLOW.jump:
        return { kind: 'jump', target };
      case FLOW.call:
        return { kind: 'call', target, followed: this.#followed(next, target) };
      case FLOW.return:
        return { kind: 'return', instruction, places: [...this.places] };
      case FLOW.computed:
        return { kind: 'computed', instruction };
      default:
        return { kind: 'system', instruction };
    }
  }
}

const discovery = new Discovery();
const NOWHERE: readonly number[] = [];

function targetsOf(terminator: Terminator): readonly number[] {
  switch (terminator.kind) {
    case 'fall':
      return [terminator.next];
    case 'jump':
      return [terminator.target];
    case 'branch':
      return [terminator.target, terminator.next];
    case 'call':
      return terminator.followed ? [terminator.target] : NOWHERE;
    case 'return':
      return terminator.places;
    default:
      return NOWHERE;
  }
}

/** The nodes of the region that is being built, by the place of their blocks. */
const nodeAt: (RegionNode | undefined)[] = new Array(WINDOWS_BYTES).fill(undefined);

/** Adds the node of a block behind all that it leads to, with its successors: depth first. The depth is that of the blocks' limit. */
function visit(block: BasicBlock, postorder: RegionNode[]): RegionNode {
  const place = discovery.place(block.start);
  const node: RegionNode = {
    block,
    window: windowOf(place),
    order: 0,
    first: 0,
    successors: [],
    predecessors: [],
    immediateDominator: 0,
    loopHeader: false,
    merge: false,
    merges: [],
  };
  nodeAt[place] = node;
  const targets = targetsOf(block.terminator);
  for (let at = targets.length - 1; at >= 0; at--) {
    const target = targets[at] ?? 0;
    const to = placeOfBlock(target);
    if (to >= 0 && nodeAt[to] === undefined) visit(discovery.blockAt(target), postorder);
  }
  for (let at = 0; at < targets.length; at++) {
    const to = nodeAt[placeOfBlock(targets[at] ?? 0)];
    if (to !== undefined && !node.successors.includes(to)) node.successors.push(to);
  }
  postorder.push(node);
  return node;
}
/** Place of the block of the region that starts at an offset; -1: there is none. */
function placeOfBlock(offset: number): number {
  const place = discovery.place(offset);
  return place >= 0 && discovery.marks[place] === (SEEN | LEADER) ? place : -1;
}

/**
 * Builds the region that a hot block starts. When its first instruction has no translation, the region only has that one interpreted, so
 * that what follows it can be a region of its own.
 */
export function buildRegion(entry: number, source: RegionSource): Region {
  discovery.reset(source);
  discovery.run(entry, source);
  const nodes: RegionNode[] = [];
  visit(
    placeOfBlock(entry) >= 0
      ? discovery.blockAt(entry)
      : { start: entry, instructions: [], terminator: { kind: 'interpret', at: entry } },
    nodes,
  );
  nodes.reverse();
  let instructions = 0;
  let windows = 1;
  for (let order = 0; order < nodes.length; order++) {
    const node = nodes[order];
    if (node === undefined) continue;
    node.order = order;
    node.first = instructions;
    instructions += node.block.instructions.length;
    nodeAt[discovery.place(node.block.start)] = undefined;
    windows = Math.max(windows, node.window + 1);
  }
  // One block alone may still be a loop.
  if (nodes.length > 1 || nodes[0]?.successors.length !== 0) structure(nodes);
  const { registers, traits } = discovery;
  return {
    entry,
    windows: source.windows.slice(0, windows),
    code32: source.code32(),
    nodes,
    instructions,
    registers,
    traits,
  };
}

/** Finds predecessors and dominators, cuts the edges that would make the graph irreducible, and marks loops and merges. */
function structure(nodes: readonly RegionNode[]): void {
  findPredecessors(nodes);
  findDominators(nodes);
  const dominates = (a: number, b: number): boolean => {
    let at = b;
    while (at > a) at = nodes[at]?.immediateDominator ?? 0;
    return at === a;
  };
  // A retreating edge to a block that does not dominate its source becomes an exit.
  let cut = false;
  for (let order = 0; order < nodes.length; order++) {
    const node = nodes[order] as RegionNode;
    const { successors } = node;
    for (let at = 0; at < successors.length; at++) {
      const to = successors[at] as RegionNode;
      if (to.order > order) continue;
      if (dominates(to.order, order)) to.loopHeader = true;
      else {
        node.successors = node.successors.filter((successor) => successor !== to);
        cut = true;
      }
    }
  }
  if (cut) {
    for (const node of nodes) node.predecessors = [];
    findPredecessors(nodes);
  }
  for (let order = 0; order < nodes.length; order++) {
    const node = nodes[order] as RegionNode;
    const { predecessors } = node;
    if (predecessors.length < 2) continue;
    let forward = 0;
    for (let at = 0; at < predecessors.length; at++) if ((predecessors[at] ?? 0) < order) forward++;
    node.merge = forward > 1;
    if (node.merge && node.immediateDominator !== order) nodes[node.immediateDominator]?.merges.unshift(node);
  }
}

function findPredecessors(nodes: readonly RegionNode[]): void {
  for (let order = 0; order < nodes.length; order++) {
    const { successors } = nodes[order] as RegionNode;
    for (let at = 0; at < successors.length; at++) successors[at]?.predecessors.push(order);
  }
}

function findDominators(nodes: readonly RegionNode[]): void {
  const intersect = (left: number, right: number): number => {
    let a = left;
    let b = right;
    while (a !== b) {
      while (a > b) a = nodes[a]?.immediateDominator ?? 0;
      while (b > a) b = nodes[b]?.immediateDominator ?? 0;
    }
    return a;
  };
  let retreating = false;
  for (let order = 1; order < nodes.length; order++) (nodes[order] as RegionNode).immediateDominator = -1;
  for (let changed = true; changed; ) {
    changed = false;
    for (let order = 1; order < nodes.length; order++) {
      const node = nodes[order] as RegionNode;
      const { predecessors } = node;
      let dominator = -1;
      for (let at = 0; at < predecessors.length; at++) {
        const from = predecessors[at] ?? 0;
        if (from >= order) retreating = true;
        if ((nodes[from]?.immediateDominator ?? -1) < 0) continue;
        dominator = dominator < 0 ? from : intersect(from, dominator);
      }
      if (dominator >= 0 && node.immediateDominator !== dominator) {
        node.immediateDominator = dominator;
        changed = true;
      }
    }
    // Without retreating edges once is enough.
    if (!retreating) return;
  }
}
