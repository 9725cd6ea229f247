// Reads libfabric's C headers: which functions they declare, which constants and enumerations they define. No compiler
// is needed: the headers are plain, and what little of the preprocessor they use is done here.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The folder of this machine's headers: the one that the addon is compiled with. */
export function machineHeaders() {
  return ['/opt/amazon/efa/include', '/usr/include', '/usr/local/include']
    .map((folder) => join(folder, 'rdma'))
    .find((folder) => existsSync(join(folder, 'fabric.h')));
}

/** The folder of Debian 13's headers (libfabric 2.1), or why there is none. Makes the Debian 13 root where that can be. */
export function debian13Headers() {
  const made = spawnSync('bash', [join(root, 'scripts/debian13.sh'), 'make'], { encoding: 'utf8' });
  const folder = join((made.stdout ?? '').trim(), 'usr/include/rdma');
  if (made.status === 0 && existsSync(join(folder, 'fabric.h'))) return { folder };
  return { reason: (made.stderr ?? '').trim() || 'scripts/debian13.sh made no root' };
}

// Only these belong to libfabric: /usr/include/rdma also has the kernel's headers.
const isLibfabric = (name) => name === 'fabric.h' || /^fi_\w+\.h$/.test(name);

function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\])*"/g, (match) =>
    match.startsWith('"') ? match : ' ',
  );
}

const defined = new Set(['__GNUC__', '__linux__']);

/** Whether an #if holds: names are macros of the compiler's, all others are not defined. */
function holds(condition) {
  const expression = condition
    .replace(/defined\s*\(?\s*(\w+)\s*\)?/g, (_, name) => (defined.has(name) ? '1' : '0'))
    .replace(/[A-Za-z_]\w*/g, (name) => (defined.has(name) ? '1' : '0'));
  if (!/^[\d\s()!&|<>=+-]*$/.test(expression)) throw new Error(`cannot judge #if ${condition}`);
  return Boolean(Function(`return (${expression})`)());
}

/** Splits a header into its code and its #defines of values, as a compiler on Linux sees it. */
function preprocess(text) {
  const lines = withoutComments(text).replace(/\\\n/g, ' ').split('\n');
  const code = [];
  const macros = new Map();
  const stack = [];
  const isOn = () => stack.every((level) => level.on);
  for (const line of lines) {
    const directive = /^\s*#\s*(\w+)\s*(.*?)\s*$/.exec(line);
    if (directive === null) {
      if (isOn()) code.push(line);
      continue;
    }
    const [, word, rest] = directive;
    if (word === 'ifdef') stack.push({ on: defined.has(rest), taken: defined.has(rest) });
    else if (word === 'ifndef') stack.push({ on: !defined.has(rest), taken: !defined.has(rest) });
    else if (word === 'if') stack.push({ on: holds(rest), taken: holds(rest) });
    else if (word === 'else') stack.push({ on: !stack.pop().taken, taken: true });
    else if (word === 'elif') {
      const { taken } = stack.pop();
      const on = !taken && holds(rest);
      stack.push({ on, taken: taken || on });
    } else if (word === 'endif') stack.pop();
    else if (word === 'define' && isOn()) {
      const value = /^(FI_\w+)\s+(.+)$/.exec(rest);
      // GCC's way of marking a macro as deprecated is no part of its value.
      if (value !== null) macros.set(value[1], value[2].replace(/_Pragma\("(?:\\.|[^"\\])*"\)/g, '').trim());
    }
  }
  return { code: code.join('\n'), macros };
}

/** What stands outside of braces: declarations, each up to its `;` or its body. */
function declarations(code) {
  const found = [];
  let depth = 0;
  let text = '';
  for (const character of code.replace(/extern\s+"C"\s*\{/g, '')) {
    if (character === '{') {
      if (depth === 0) found.push(text);
      depth++;
    } else if (character === '}') {
      depth = Math.max(0, depth - 1);
      if (depth === 0) text = '';
    } else if (depth === 0) {
      if (character === ';') {
        found.push(text);
        text = '';
      } else text += character;
    }
  }
  return found;
}

function functionName(declaration) {
  const plain = declaration
    .replace(/__attribute__\s*\(\(.*?\)\)/g, '')
    .replace(/FI_FORMAT_PRINTF\s*\(.*?\)/g, '');
  if (/^\s*typedef\b|=/.test(plain)) return undefined;
  return /(\bfi_\w+)\s*\(/.exec(plain)?.[1];
}

/** Members of a table that fi_open_ops(3) gives: these are called as functions, but no header wraps them. */
function tableCalls(code) {
  const calls = [];
  for (const [, name, body] of code.matchAll(/struct\s+(fi_efa_\w*ops\w*)\s*\{([^}]*)\}/g))
    for (const [, member] of body.matchAll(/\(\s*\*\s*(\w+)\s*\)\s*\(/g)) calls.push(`${name}.${member}`);
  return calls;
}

/** Enumerations: their name, or their first member's where they have none, and the text of each member's value. */
function enumerations(code) {
  const found = [];
  for (const [, name, body] of code.matchAll(/\benum\s*(\w*)\s*\{([^}]*)\}/g)) {
    const members = body
      .split(',')
      .map((member) => member.trim())
      .filter((member) => member !== '')
      .map((member) => /^(\w+)\s*(?:=\s*([\s\S]+))?$/.exec(member))
      .filter((match) => match !== null)
      .map(([, member, value]) => ({ name: member, value }));
    if (members.length > 0) found.push({ name: name || members[0].name, members });
  }
  return found;
}

const MAX64 = (1n << 64n) - 1n;

/** Evaluates constant expressions of C as the headers have them. 64-bit values become bigints, others numbers. */
class Evaluator {
  values = new Map();
  constructor(macros) {
    this.macros = macros;
  }

  value(name) {
    if (this.values.has(name)) return this.values.get(name);
    const text = this.macros.get(name);
    if (text === undefined) return undefined;
    const value = this.evaluate(text);
    if (value !== undefined) this.values.set(name, value);
    return value;
  }

  evaluate(text) {
    const string = /^"([^"]*)"$/.exec(text);
    if (string !== null) return string[1];
    if (text === 'SIZE_MAX') return MAX64;
    let wide = false;
    let known = true;
    const expression = text
      .replace(/\(\s*uint64_t\s*\)/g, () => {
        wide = true;
        return '';
      })
      .replace(/\b(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)|\b([A-Za-z_]\w*)\b/g, (_, number, suffix, name) => {
        if (number !== undefined) {
          if (/ll/i.test(suffix)) wide = true;
          return `${number}n`;
        }
        const limits = { UINT32_MAX: 0xffffffffn, UINT8_MAX: 0xffn };
        const value = limits[name] ?? this.value(name);
        if (typeof value !== 'bigint' && typeof value !== 'number') known = false;
        if (typeof value === 'bigint' && limits[name] === undefined) wide = true;
        return `(${String(value)}n)`;
      });
    if (!known || !/^[\d\sa-fA-FxXn()<>|&+-]+$/.test(expression)) return undefined;
    const value = Function(`return (${expression})`)();
    return wide ? BigInt.asUintN(64, value) : Number(value);
  }
}

function evaluateEnumeration({ name, members }, evaluator) {
  const values = new Map();
  let next = 0;
  for (const member of members) {
    let value = next;
    if (member.value !== undefined) value = Number(evaluator.evaluate(member.value));
    if (Number.isNaN(value)) throw new Error(`cannot evaluate ${member.name} = ${member.value}`);
    values.set(member.name, value);
    evaluator.values.set(member.name, value);
    next = value + 1;
  }
  return { name, values };
}

/**
 * Everything public in a folder of headers: its version, `functions` with the header of each, `constants` (bigint where
 * C's are of 64 bits, string where they are text), and `enumerations`.
 */
export function readHeaders(folder) {
  const files = readdirSync(folder).filter(isLibfabric);
  const providers = join(folder, 'providers');
  if (existsSync(providers))
    files.push(
      ...readdirSync(providers)
        .filter(isLibfabric)
        .map((name) => `providers/${name}`),
    );
  const functions = new Map();
  const macros = new Map();
  const enums = [];
  for (const file of files.sort()) {
    const { code, macros: own } = preprocess(readFileSync(join(folder, file), 'utf8'));
    for (const [name, value] of own) macros.set(name, value);
    for (const declaration of declarations(code)) {
      const name = functionName(declaration);
      if (name !== undefined) functions.set(name, file);
    }
    for (const call of tableCalls(code)) functions.set(call, file);
    enums.push(...enumerations(code).map((found) => ({ ...found, file })));
  }
  const evaluator = new Evaluator(macros);
  const evaluated = enums.map((found) => ({ ...evaluateEnumeration(found, evaluator), file: found.file }));
  const constants = new Map();
  for (const { values } of evaluated) for (const [name, value] of values) constants.set(name, value);
  for (const [name, text] of macros) {
    const value = evaluator.value(name);
    if (value !== undefined) constants.set(name, value);
    // Errors of the system: their numbers are the system's own.
    else if (/^E\w+$/.test(text)) constants.set(name, text);
  }
  const version = `${String(constants.get('FI_MAJOR_VERSION'))}.${String(constants.get('FI_MINOR_VERSION'))}`;
  return { folder, version, functions, constants, enumerations: evaluated };
}
