// What script adds to a page of the door and of the portal; without it each page says and does the same.

const language = document.documentElement.lang;

// Moments in the zone of this device.
const written = new Intl.DateTimeFormat(language, {
  day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
for (const one of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(one.dateTime);
  if (!Number.isNaN(moment.valueOf())) one.textContent = written.format(moment);
}

// Another language of the same page keeps what stands behind the #: the secret of a link.
for (const one of document.querySelectorAll("a[hreflang]")) {
  one.addEventListener("click", () => { one.hash = location.hash; });
}

// A button that copies, beside what is made to be copied.
const words = { en: ["Copy", "Copied"], de: ["Kopieren", "Kopiert"] }[language] ?? ["Copy", "Copied"];
if (navigator.clipboard) {
  for (const one of document.querySelectorAll("[data-copyable]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link copy";
    button.textContent = words[0];
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(one.textContent.trim());
      button.textContent = words[1];
    });
    one.after(" ", button);
  }
}

// The clock of this device, if it is more than a minute away from ours.
const clocked = document.querySelector("[data-now]");
if (clocked && Math.abs(Date.now() - new Date(clocked.dataset.now).valueOf()) > 60_000) {
  const line = document.createElement("p");
  const says = language === "de" ? "Die Uhr dieses Geräts zeigt" : "The clock of this device says";
  line.textContent = `${says} ${written.format(new Date())}.`;
  clocked.querySelector(".lead").after(line);
}

// Loading again: after the seconds that the page names, longer each time; or when a moment has come.
const message = document.querySelector("[data-reloads], [data-until]");
if (message) {
  const button = message.querySelector(".button");
  const label = button?.textContent ?? "";
  const key = `doorward-tries:${location.pathname}`;
  let due;
  if (message.dataset.until) {
    due = new Date(message.dataset.until).valueOf();
  } else {
    const waits = message.dataset.reloads.split(",").map(Number);
    const tries = Number(sessionStorage.getItem(key) ?? 0);
    sessionStorage.setItem(key, String(tries + 1));
    due = Date.now() + 1000 * waits[Math.min(tries, waits.length - 1)];
  }
  const longest = 10 * 60 * 1000;
  const tick = () => {
    const left = due - Date.now();
    if (left <= 0) return location.replace(location.href.split("#")[0]);
    const seconds = Math.ceil(left / 1000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (button) button.textContent = `${label} (${clock})`;
    setTimeout(tick, Math.min(1000, left));
  };
  if (due - Date.now() < longest) tick();
}

// Another certificate. Chromium forgets which one it showed once a handshake is refused: the door cuts this connection and
// refuses the next one, which is met here and not by the person. Other browsers need the person's hand: the page says how.
if (navigator.userAgentData) {
  const choose = async (event) => {
    event.preventDefault();
    const page = location.href.split("#")[0];
    try {
      const answer = await fetch("/_doorward/choose", { method: "POST", cache: "no-store" });
      for (let tries = 0; answer.ok && tries < 50; tries += 1) {
        await new Promise((done) => setTimeout(done, 100));
        await fetch(page, { method: "HEAD", cache: "no-store" });
      }
    } catch {
      return location.replace(page); // refused: now the browser asks
    }
    location.hash = "#another";
  };
  for (const one of document.querySelectorAll('a[href="#another"]')) one.addEventListener("click", choose);
}
