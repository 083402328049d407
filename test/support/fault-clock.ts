/**
 * Loaded before a Rollcall process (`node --import`): its wall clock runs ahead or behind by the milliseconds that stand in the file
 * FAULT_CLOCK_FILE, read at the start and again at SIGUSR2. Timers go on as they do when a real clock steps: they are monotonic.
 */
import { readFileSync } from 'node:fs';

const file = process.env.FAULT_CLOCK_FILE ?? '';
const trueNow = Date.now;
let aheadMilliseconds = 0;

const readOffset = (): void => {
  aheadMilliseconds = Number(readFileSync(file, 'utf8'));
};
readOffset();
process.on('SIGUSR2', readOffset);

const steppedNow = (): number => trueNow() + aheadMilliseconds;
Date.now = steppedNow;
globalThis.Date = new Proxy(Date, {
  construct: (target, values: [], newTarget) =>
    Reflect.construct(target, values.length === 0 ? [steppedNow()] : values, newTarget),
  apply: (target) => new target(steppedNow()).toString(),
});
