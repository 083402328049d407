import { createHash } from 'node:crypto';

/** The one style sheet of the pages, inline: a page about a failure must not need a second request. */
export const stylesheet = `
:root {
  color-scheme: light dark;
  --ground: #f3f4f8; --card: #ffffff; --ink: #1b1f2a; --quiet: #596074; --line: #dfe2ea; --accent: #3f4fd0; --accent-ink: #ffffff;
  --accent-soft: #eceefb; --alarm: #a4341f; --alarm-soft: #fbeae6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12141b; --card: #1b1e28; --ink: #eceef4; --quiet: #a3a9ba; --line: #323746; --accent: #9aa6ff; --accent-ink: #12141b;
    --accent-soft: #272c45; --alarm: #ff9d87; --alarm-soft: #3a2320;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main {
  width: 100%; max-width: 28rem; padding: 2.25rem 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem;
  box-shadow: 0 1px 2px rgb(0 0 0 / .05), 0 12px 32px rgb(0 0 0 / .06); overflow-wrap: anywhere;
}
.mark { display: block; width: 3rem; height: 3rem; margin-bottom: 1.25rem; border-radius: .9rem; background: var(--accent-soft); color: var(--accent); }
.mark.alarm { background: var(--alarm-soft); color: var(--alarm); }
h1 { margin: 0 0 .5rem; font-size: 1.4rem; line-height: 1.3; letter-spacing: -.01em; text-wrap: balance; }
p { margin: 0 0 1.25rem; color: var(--quiet); text-wrap: pretty; }
.button {
  display: block; width: 100%; padding: .8rem 1rem; border: 0; border-radius: .7rem; background: var(--accent); color: var(--accent-ink);
  font: inherit; font-weight: 600; text-align: center; text-decoration: none; cursor: pointer;
}
.button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
form { margin: 0; }
label { display: block; margin-bottom: .35rem; font-weight: 600; }
input[type="email"] {
  display: block; width: 100%; margin-bottom: .8rem; padding: .75rem .9rem; border: 1px solid var(--line); border-radius: .7rem;
  background: var(--ground); color: var(--ink); font: inherit;
}
.notice { margin-bottom: .8rem; color: var(--alarm); }
p a { color: var(--accent); font-weight: 600; }
main > :last-child, form > :last-child { margin-bottom: 0; }
ul { list-style: none; margin: 1.5rem 0 0; padding: 0; display: grid; gap: .6rem; }
li a {
  display: flex; align-items: center; justify-content: space-between; gap: 1rem; padding: .85rem 1rem; border: 1px solid var(--line);
  border-radius: .7rem; color: var(--ink); font-weight: 600; text-decoration: none;
}
li a:hover { border-color: var(--accent); background: var(--accent-soft); }
li a svg { flex: none; width: 1.1rem; height: 1.1rem; color: var(--quiet); }
.reference { margin: 1.75rem 0 0; padding-top: 1.1rem; border-top: 1px solid var(--line); }
.reference dt { font-size: .82rem; color: var(--quiet); }
.reference dd { margin: .15rem 0 0; font: .88rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; user-select: all; }
@media (forced-colors: active) { main, li a { border: 1px solid CanvasText; } .button { border: 1px solid ButtonText; } }
`;

/** Sends the form of a page that has nothing else to ask; a person without scripts finds a button. */
export const submitScript = 'document.forms[0].submit()';

/**
 * What pages may load and run: this style sheet, this script, nothing else. There is no `form-action`: browsers hold it against the
 * redirects that follow a form too, and an IdP redirects to wherever it signs its people in.
 */
export const contentSecurityPolicy = {
  'default-src': ["'none'"],
  'style-src': [sha256Source(stylesheet)],
  'script-src': [sha256Source(submitScript)],
  'img-src': ['data:'],
  'base-uri': ["'none'"],
  'frame-ancestors': ["'none'"],
} as const;

/** CSP Level 3, 2.3.1: hash-source. */
function sha256Source(content: string): string {
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
}
