import type { Response } from 'express';

/** An answer that is complete and not sent yet. */
export interface Answer {
  readonly status: number;
  /** Null: it was streamed, and its text is gone. */
  readonly body: string | null;
  readonly header: (name: string) => string | undefined;
}

type Step = (answer: Answer) => Promise<void>;

const steps = new WeakMap<Response, Step[]>();

/**
 * Runs a step when the answer is complete and before the client gets it, also when the client is gone by then. Steps run one after
 * the other, the last one added first; each deals with its own failures.
 */
export function beforeAnswer(res: Response, step: Step): void {
  const known = steps.get(res);
  if (known) {
    known.unshift(step);
    return;
  }
  const waiting = [step];
  steps.set(res, waiting);
  const end = res.end.bind(res) as (...given: unknown[]) => Response;
  // Everything that Express sends with ends here.
  res.end = ((...given: unknown[]) => {
    res.end = end as Response['end'];
    const [chunk] = given;
    const text = typeof chunk === 'string' ? chunk : Buffer.isBuffer(chunk) ? chunk.toString('utf8') : '';
    const answer: Answer = {
      status: res.statusCode,
      body: res.headersSent ? null : text,
      header: (name) => res.getHeader(name)?.toString(),
    };
    const send = () => void end(...given);
    (async () => {
      for (const each of waiting) await each(answer);
    })().then(send, send);
    return res;
  }) as Response['end'];
}
