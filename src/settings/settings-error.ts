export interface SettingsProblem {
  /** Of the setting, as in `config/default.yaml`; null where it is not about one. */
  readonly path: string | null;
  /** The environment variable that sets it, or that is wrong itself. */
  readonly variable: string | null;
  readonly problem: string;
  readonly fix: string;
}

/** Everything that is wrong with the settings, in one go. Values are not repeated: they may be secrets. */
export class SettingsError extends Error {
  readonly problems: readonly SettingsProblem[];

  constructor(problems: readonly SettingsProblem[]) {
    super(
      `The settings have ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}:\n${problems.map(line).join('\n')}`,
    );
    this.name = 'SettingsError';
    this.problems = problems;
  }
}

function line({ path, variable, problem, fix }: SettingsProblem): string {
  const subject = path !== null && variable !== null ? `${path} (${variable})` : (path ?? variable ?? 'settings');
  return `  - ${subject}: ${problem}. ${fix}.`;
}
