// Reads server-sent events by fetch, since EventSource cannot send a token.
const SILENT_MS = 30_000;
const LONGEST_PAUSE_MS = 5_000;

export async function json(path) {
  const answer = await fetch(path, { headers: headers(), cache: "no-store" });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

export function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const newToken = () => new Promise((done) => window.addEventListener("token", done, { once: true }));

async function read(answer, told, stop) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  let timer = null;
  try {
    for (;;) {
      timer = setTimeout(stop, SILENT_MS);
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      const events = (kept + value).split("\n\n");
      kept = events.pop();
      const news = events.filter((event) => event.startsWith("data: ")).pop();
      if (news) told(JSON.parse(news.slice(6)));
    }
  } finally {
    clearTimeout(timer);
  }
}

export async function follow(path, told, state) {
  let wait = 0;
  for (;;) {
    const aborter = new AbortController();
    try {
      const answer = await fetch(path, { headers: headers(), cache: "no-store", signal: aborter.signal });
      if (answer.status === 401 || answer.status === 403) {
        state("refused", await answer.text());
        await newToken();
        continue;
      }
      if (answer.status === 503) {
        state("broken", `Nothing to show (${await answer.text()}): the process has just started, or cannot reach what it reads; its log says which. It is asked again.`);
        await pause(LONGEST_PAUSE_MS / 2);
        continue;
      }
      if (!answer.ok) throw new Error(await answer.text());
      await read(answer, (data) => { wait = 0; state("live"); told(data); }, () => aborter.abort());
      // The end of a stream is no failure: the next one is asked for at once.
      if (wait === 0) { wait = 250; continue; }
    } catch (error) {
      const said = error instanceof TypeError || error.name === "AbortError" ? "" : ` (${error.message.trim()})`;
      state("broken", `No answer${said}: see whether the process runs, and a port-forward still stands.`);
    }
    wait = Math.min(Math.max(500, wait * 2), LONGEST_PAUSE_MS);
    await pause(wait);
  }
}
