/** Where a command line is typed, by a person or a script. */
export interface Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Whether `out` is a person's screen; colours need it. */
  readonly isTerminal?: boolean;
  /** Asks the person at the terminal; absent: there is none. */
  readonly confirm?: (question: string) => Promise<boolean>;
  /** How long logins of running replicas may still go by what was in force before a change; `cache.maxStaleSeconds` unless given. */
  readonly settleMilliseconds?: number;
}
