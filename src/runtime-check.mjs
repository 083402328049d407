// Runs before any TypeScript file, on whatever Node there is: Rollcall's files need Node 24, which runs them as they are.
const wanted = 24;
const found = Number(process.versions.node.split('.')[0]);

if (found < wanted) {
  const { platform, arch } = process;
  const byNpm = platform === 'linux' && (arch === 'x64' || arch === 'arm64');
  console.error(
    [
      `Rollcall needs Node ${wanted} or newer; this is Node ${process.versions.node}.`,
      byNpm
        ? '"npm ci" brings Node 24 into node_modules/.bin, and "npm run" uses it from there: run "npm ci" (without --omit=optional), then your command by "npm run".'
        : `For ${platform} on ${arch} npm does not bring it: install Node ${wanted} (https://nodejs.org, or a version manager), then run "npm ci" again.`,
    ].join('\n'),
  );
  process.exitCode = 1;
}
