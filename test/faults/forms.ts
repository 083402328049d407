/** For CI: every scenario once, in seconds. */
export const shortForm = { rounds: 1, logins: 60, users: 15, concurrency: 6, strikes: 1, afterwardsSeconds: 2 };

/** By hand: minutes. */
export const longForm = { rounds: 2, logins: 2_000, users: 200, concurrency: 8, strikes: 12, afterwardsSeconds: 30 };
