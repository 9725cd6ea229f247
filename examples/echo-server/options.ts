// The command line of both programs.
import { parseArgs } from 'node:util';
import { readFileSync } from 'node:fs';
import type { OpenOptions } from 'libfabric';

export interface CommandLine {
  /** For open(): the same provider on both sides. */
  options: OpenOptions<[]>;
  /** The server's contact: --contact, or what the file says. */
  contact: string | undefined;
  /** Where the server writes its contact, and the client reads it. */
  contactFile: string | undefined;
  words: string[];
}

export function commandLine(): CommandLine {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      provider: { type: 'string' },
      node: { type: 'string' },
      contact: { type: 'string' },
      'contact-file': { type: 'string' },
    },
  });
  const { provider, node, contact } = values;
  return {
    options: { ...(provider === undefined ? {} : { provider }), ...(node === undefined ? {} : { node }) },
    contact,
    contactFile: values['contact-file'],
    words: positionals,
  };
}

/** The server's contact, from wherever the command line says. */
export function serverContact({ contact, contactFile }: CommandLine): string {
  if (contact !== undefined) return contact;
  if (contactFile !== undefined) return readFileSync(contactFile, 'utf8').trim();
  throw new Error('give the contact that the server printed: --contact TEXT, or --contact-file FILE');
}
