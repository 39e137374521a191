import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  childNames,
  formatListing,
  formatTable,
  formatTree,
  type Plain,
  showBytes,
  showSeconds,
  toYaml,
} from './output.ts';

const listing = {
  rows: [
    { name: 'debian-tiny', sizeBytes: 1536, extra: [1] },
    { name: 'x', sizeBytes: null, extra: [] },
  ],
  columns: [
    ['NAME', 'name'],
    ['SIZE', 'sizeBytes', showBytes],
  ],
} as const;

describe('formatListing', () => {
  it('aligns a table', () => {
    expect(formatListing(listing, 'table')).toBe('NAME         SIZE\ndebian-tiny  1.5 KiB\nx            -\n');
  });

  it('gives JSON all keys', () => {
    expect(JSON.parse(formatListing(listing, 'json'))).toEqual(listing.rows);
  });

  it('gives YAML all keys', () => {
    expect(formatListing(listing, 'yaml')).toBe(
      '- name: debian-tiny\n  sizeBytes: 1536\n  extra: [1]\n- name: x\n  sizeBytes: null\n  extra: []\n',
    );
  });

  it('gives names alone', () => {
    expect(formatListing(listing, 'name')).toBe('debian-tiny\nx\n');
  });

  it('shows an empty list as its headings, [] or nothing', () => {
    const empty = { ...listing, rows: [] };
    expect(formatListing(empty, 'table')).toBe('NAME  SIZE\n');
    expect(formatListing(empty, 'json')).toBe('[]\n');
    expect(formatListing(empty, 'yaml')).toBe('[]\n');
    expect(formatListing(empty, 'name')).toBe('');
  });
});

describe('toYaml', () => {
  it('quotes what could be taken for something else', () => {
    expect(
      toYaml({
        a: 'yes',
        b: '1',
        c: 'x: y',
        d: '',
        e: '- x',
        f: 'a\nb',
        g: 'plain text',
        '#': null,
        h: ' x',
        i: '0x1F',
      }),
    ).toBe('a: "yes"\nb: "1"\nc: "x: y"\nd: ""\ne: "- x"\nf: "a\\nb"\ng: plain text\n"#": null\nh: " x"\ni: "0x1F"\n');
  });

  it('nests lists and objects', () => {
    expect(toYaml([{ a: [{ b: 1, c: {} }, [2, 3]] }, 'x'])).toBe('- a:\n    - b: 1\n      c: {}\n    - [2, 3]\n- x\n');
  });

  it('stands long lists of scalars below each other', () => {
    const list = Array.from({ length: 30 }, (_, index) => index);
    expect(toYaml({ list })).toBe(`list:\n${list.map((item) => `  - ${item}\n`).join('')}`);
  });

  it('is understood by a YAML reader as the same tree', () => {
    const plain = fc.letrec<{ tree: Plain }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie('tree'), { maxKeys: 3 }),
      ),
    })).tree;
    fc.assert(
      fc.property(plain, (tree) => {
        expect(readYaml(toYaml(tree).trimEnd().split('\n'))).toEqual(JSON.parse(JSON.stringify(tree)));
      }),
    );
  });
});

/** A reader of what `toYaml` writes, after the YAML specification's block style: enough to tell whether a tree is still the same. */
function readYaml(lines: readonly string[]): unknown {
  const [first = ''] = lines;
  if (first.startsWith('- ')) {
    return entriesOf(lines, (line) => line.startsWith('- ')).map(([head, ...rest]) =>
      readYaml([(head ?? '').slice(2), ...rest.map((line) => line.slice(2))]),
    );
  }
  const key = /^("(?:[^"\\]|\\.)*"|[^"[{][^:]*):(?: (.*))?$/.exec(first);
  if (key === null) return readFlow(first);
  return Object.fromEntries(
    entriesOf(lines, (line) => !line.startsWith(' ')).map(([head = '', ...rest]) => {
      const [, name = '', value] = /^("(?:[^"\\]|\\.)*"|[^"][^:]*):(?: (.*))?$/.exec(head) ?? [];
      return [readFlow(name), value === undefined ? readYaml(rest.map((line) => line.slice(2))) : readFlow(value)];
    }),
  );
}

function entriesOf(lines: readonly string[], begins: (line: string) => boolean): string[][] {
  const entries: string[][] = [];
  for (const line of lines) {
    if (begins(line)) entries.push([line]);
    else entries.at(-1)?.push(line);
  }
  return entries;
}

function readFlow(text: string): unknown {
  if (text === '{}') return {};
  const quoted = text.startsWith('[')
    ? text.replaceAll(/(?<=[[ ])([A-Za-z_/][^",[\]]*)(?=[,\]])/g, (word) =>
        /^(true|false|null)$/.test(word) ? word : `"${word}"`,
      )
    : text;
  try {
    return JSON.parse(quoted);
  } catch {
    return text;
  }
}

describe('formatTree', () => {
  const tree = { processors: { 0: { rip: '0x1000' } }, memoryBytes: 1 };
  it('gives the names of the children', () => {
    expect(formatTree(tree, 'name')).toBe('processors\nmemoryBytes\n');
    expect(formatTree('leaf', 'name')).toBe('');
    expect(childNames([7, 8])).toEqual(['0', '1']);
  });

  it('reads as indented text', () => {
    expect(formatTree(tree, 'table')).toBe('processors:\n  "0":\n    rip: "0x1000"\nmemoryBytes: 1\n');
  });
});

describe('formatTable', () => {
  it('leaves no blanks at the ends of lines', () => {
    expect(
      formatTable([
        ['a', 'b'],
        ['ccc', ''],
      ]),
    ).toBe('a    b\nccc\n');
  });
});

describe('units for people', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [41_313_894, '39.4 MiB'],
    [2 ** 30, '1.0 GiB'],
  ])('shows %i bytes as %s', (bytes, text) => {
    expect(showBytes(bytes)).toBe(text);
  });

  it.each([
    [0.04, '0.0 s'],
    [99.94, '99.9 s'],
    [200, '3 min 20 s'],
  ])('shows %d seconds as %s', (seconds, text) => {
    expect(showSeconds(seconds)).toBe(text);
  });
});
