// Keeps the list of webhooks up to date. The server sends it ready and escaped, as it stood in the page at load.
const list = document.getElementById('webhook-list');
const live = document.getElementById('live');
const announcement = document.getElementById('announcement');

const items = () => [...list.querySelectorAll('[data-id]')];

const source = new EventSource('/webhooks/live');
source.addEventListener('open', () => {
  live.hidden = false;
});
source.addEventListener('error', () => {
  live.hidden = true;
});
source.addEventListener('message', ({ data }) => {
  const before = new Set(items().map((item) => item.dataset.id));
  list.innerHTML = JSON.parse(data);
  const fresh = items().filter((item) => !before.has(item.dataset.id));
  for (const item of fresh) item.classList.add('fresh');
  // The list is replaced as a whole; only what is new is read out.
  if (fresh.length > 0) announcement.textContent = `New webhook: ${fresh[0].querySelector('.type').textContent}`;
});
