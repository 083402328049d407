/** There is something to do, and nobody said that it should be done. */
export class NotConfirmed extends Error {}
