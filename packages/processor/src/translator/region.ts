/**
 * Finds a region: the basic blocks of one page that are reached from a hot block without leaving the page, and their structure.
 *
 * The region has one entry. Edges out of the page, to instructions that have no translation, or beyond the size limits are exits.
 * Its graph is reducible: an edge that would make it irreducible becomes an exit too. Blocks come in reverse postorder.
 * Answers to: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm". Called by: translator.ts; read by region-emitter.ts.
 */
import type { Instruction } from './instruction.ts';

const LIMITS = { instructions: 256, blocks: 48 } as const;

/** How a block ends. Offsets are within the page (and beyond it for what leaves it); -1 stands for a computed target. */
export type Terminator =
  | { readonly kind: 'fall'; readonly next: number }
  | { readonly kind: 'jump'; readonly target: number }
  | { readonly kind: 'branch'; readonly condition: string; readonly target: number; readonly next: number }
  | { readonly kind: 'call'; readonly target: number }
  | { readonly kind: 'computed'; readonly instruction: Instruction }
  /** The next instruction has no translation: the interpreter goes on there. */
  | { readonly kind: 'interpret'; readonly at: number };

export interface BasicBlock {
  readonly start: number;
  readonly instructions: readonly Instruction[];
  readonly terminator: Terminator;
}

export interface RegionNode {
  readonly block: BasicBlock;
  /** Position in reverse postorder. */
  readonly order: number;
  /** Successors inside the region by offset; others are exits. */
  readonly successors: readonly number[];
  readonly predecessors: number[];
  immediateDominator: number;
  loopHeader: boolean;
  /** More than one forward edge leads here. */
  merge: boolean;
}

export interface Region {
  readonly entry: number;
  readonly nodes: readonly RegionNode[];
  readonly byOffset: ReadonlyMap<number, RegionNode>;
  readonly instructions: number;
}

export interface RegionSource {
  /** The instruction at an offset of the page; undefined when it crosses the page's end or is undefined. */
  decode(offset: number): Instruction | undefined;
  /** Whether a block at the offset has been executed. */
  executed(offset: number): boolean;
  /** Whether another region begins at the offset: it is left to that one. */
  region(offset: number): boolean;
  /** Whether the emitter knows the instruction. */
  translatable(instruction: Instruction): boolean;
}

const ENDS = new Set(['JMP', 'CALL', 'RET', 'JMP_INDIRECT', 'CALL_INDIRECT']);

function terminatorOf(last: Instruction): Terminator {
  const target = last.offset + last.displacement;
  if (last.operation === 'JMP') return { kind: 'jump', target };
  if (last.operation === 'CALL') return { kind: 'call', target };
  return { kind: 'computed', instruction: last };
}

/** Decodes straight-line runs from the entry on. Jump displacements are relative to the instruction's start (decoded at offset 0). */
function discover(entry: number, source: RegionSource): Map<number, BasicBlock> {
  const leaders = new Set<number>([entry]);
  const instructions = new Map<number, Instruction | undefined>();
  const at = (offset: number): Instruction | undefined => {
    if (!instructions.has(offset)) instructions.set(offset, source.decode(offset));
    return instructions.get(offset);
  };
  const inPage = (offset: number): boolean => offset >= 0 && offset < 4096;
  const work = [entry];
  const seen = new Set<number>();
  let count = 0;
  while (work.length > 0) {
    let offset = work.shift() ?? 0;
    while (!seen.has(offset)) {
      const full = count >= LIMITS.instructions || leaders.size > LIMITS.blocks;
      if (offset !== entry && (full || source.region(offset))) {
        // Whatever is there goes on as a region or block of its own.
        leaders.add(offset);
        break;
      }
      const instruction = inPage(offset) ? at(offset) : undefined;
      if (instruction === undefined || !source.translatable(instruction)) break;
      seen.add(offset);
      count++;
      const { operation } = instruction;
      if (operation.startsWith('JCC_')) {
        const target = offset + instruction.displacement;
        if (inPage(target) && source.executed(target) && !leaders.has(target)) {
          leaders.add(target);
          work.push(target);
        }
        leaders.add(instruction.next);
      } else if (operation === 'JMP') {
        const target = offset + instruction.displacement;
        if (inPage(target) && !leaders.has(target)) {
          leaders.add(target);
          work.push(target);
        }
        break;
      } else if (ENDS.has(operation)) break;
      offset = instruction.next;
    }
  }

  const blocks = new Map<number, BasicBlock>();
  for (const start of leaders) {
    if (!seen.has(start)) continue;
    const list: Instruction[] = [];
    let offset = start;
    let terminator: Terminator | undefined;
    while (terminator === undefined) {
      const instruction = seen.has(offset) ? at(offset) : undefined;
      if (instruction === undefined) terminator = { kind: 'interpret', at: offset };
      else {
        list.push(instruction);
        const { operation } = instruction;
        if (operation.startsWith('JCC_')) {
          terminator = {
            kind: 'branch',
            condition: operation.slice(4),
            target: offset + instruction.displacement,
            next: instruction.next,
          };
        } else if (ENDS.has(operation)) terminator = terminatorOf(instruction);
        else if (leaders.has(instruction.next)) terminator = { kind: 'fall', next: instruction.next };
        offset = instruction.next;
      }
    }
    blocks.set(start, { start, instructions: list, terminator });
  }
  return blocks;
}

function targetsOf(terminator: Terminator): number[] {
  switch (terminator.kind) {
    case 'fall':
      return [terminator.next];
    case 'jump':
      return [terminator.target];
    case 'branch':
      return [terminator.target, terminator.next];
    default:
      return [];
  }
}

/** Reverse postorder of the blocks from the entry. */
function reversePostorder(entry: number, blocks: ReadonlyMap<number, BasicBlock>): number[] {
  const order: number[] = [];
  const visited = new Set<number>([entry]);
  const stack: { offset: number; targets: number[] }[] = [];
  const push = (offset: number): void => {
    const block = blocks.get(offset);
    stack.push({
      offset,
      targets: block === undefined ? [] : targetsOf(block.terminator).filter((target) => blocks.has(target)),
    });
  };
  push(entry);
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const target = top.targets.pop();
    if (target === undefined) {
      order.push(top.offset);
      stack.pop();
    } else if (!visited.has(target)) {
      visited.add(target);
      push(target);
    }
  }
  return order.reverse();
}

/**
 * Builds the region that a hot block starts. When its first instruction has no translation, the region only has that one interpreted, so
 * that what follows it can be a region of its own.
 */
export function buildRegion(entry: number, source: RegionSource): Region {
  const blocks = discover(entry, source);
  if (!blocks.has(entry)) {
    blocks.set(entry, { start: entry, instructions: [], terminator: { kind: 'interpret', at: entry } });
  }
  const order = reversePostorder(entry, blocks);
  const position = new Map(order.map((offset, index) => [offset, index]));
  const targets = order.map((offset) => {
    const block = blocks.get(offset);
    return block === undefined ? [] : targetsOf(block.terminator).filter((target) => position.has(target));
  });
  const dominators = immediateDominators(order, position, targets);
  const dominates = (a: number, b: number): boolean => {
    let at = b;
    while (at > a) at = dominators[at] ?? 0;
    return at === a;
  };

  const nodes: RegionNode[] = order.map((offset, index) => {
    const block = blocks.get(offset) as BasicBlock;
    // A retreating edge to a block that does not dominate its source would make the graph irreducible: it becomes an exit.
    const successors = (targets[index] ?? []).filter((target) => {
      const to = position.get(target) ?? 0;
      return to > index || dominates(to, index);
    });
    return {
      block,
      order: index,
      successors,
      predecessors: [],
      immediateDominator: dominators[index] ?? 0,
      loopHeader: false,
      merge: false,
    };
  });
  for (const node of nodes) {
    for (const target of node.successors) {
      const to = nodes[position.get(target) ?? 0];
      if (to === undefined) continue;
      to.predecessors.push(node.order);
      if (to.order <= node.order) to.loopHeader = true;
    }
  }
  for (const node of nodes) node.merge = node.predecessors.filter((from) => from < node.order).length > 1;
  return {
    entry,
    nodes,
    byOffset: new Map(nodes.map((node) => [node.block.start, node])),
    instructions: nodes.reduce((sum, { block }) => sum + block.instructions.length, 0),
  };
}

function immediateDominators(
  order: readonly number[],
  position: ReadonlyMap<number, number>,
  targets: readonly (readonly number[])[],
): number[] {
  const predecessors: number[][] = order.map(() => []);
  targets.forEach((list, from) => {
    for (const target of list) predecessors[position.get(target) ?? 0]?.push(from);
  });
  const dominators: number[] = order.map((_, index) => (index === 0 ? 0 : -1));
  const intersect = (left: number, right: number): number => {
    let a = left;
    let b = right;
    while (a !== b) {
      while (a > b) a = dominators[a] ?? 0;
      while (b > a) b = dominators[b] ?? 0;
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let index = 1; index < order.length; index++) {
      let dominator = -1;
      for (const from of predecessors[index] ?? []) {
        if ((dominators[from] ?? -1) < 0) continue;
        dominator = dominator < 0 ? from : intersect(from, dominator);
      }
      if (dominator >= 0 && dominators[index] !== dominator) {
        dominators[index] = dominator;
        changed = true;
      }
    }
  }
  return dominators;
}
