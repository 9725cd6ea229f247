// libfabric's constants, with C's spelling and values, up to 2.6. Flags of 64 bits are bigints; members of enumerations
// and errors are numbers. scripts/constants.mjs generates them from the headers.
export * from './generated/enumerations.js';
export * from './generated/errors.js';
export * from './generated/flags.js';
