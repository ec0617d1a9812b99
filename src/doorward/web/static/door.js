// Additions to pages of the door and of the portal; without scripts each page has the same content and functions.

const language = document.documentElement.lang;

// Show times in the time zone of this device.
const written = new Intl.DateTimeFormat(language, {
  day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
for (const one of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(one.dateTime);
  if (!Number.isNaN(moment.valueOf())) one.textContent = written.format(moment);
}

// A link to the same page in another language keeps the fragment: it contains the token of a link.
for (const one of document.querySelectorAll("a[hreflang]")) {
  one.addEventListener("click", () => { one.hash = location.hash; });
}

// Add a copy button beside each text that is meant to be copied.
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

// Show the clock of this device if it differs from ours by more than a minute.
const clocked = document.querySelector("[data-now]");
if (clocked && Math.abs(Date.now() - new Date(clocked.dataset.now).valueOf()) > 60_000) {
  const line = document.createElement("p");
  const says = language === "de" ? "Die Uhr dieses Geräts zeigt" : "The clock of this device says";
  line.textContent = `${says} ${written.format(new Date())}.`;
  clocked.querySelector(".lead").after(line);
}

// Reload after the seconds that the page gives, longer each time; or at a given time.
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

// Use another certificate. Chromium asks the person again after a refused handshake. So the door cuts this connection and
// refuses the next handshake, which the requests below cause. In other browsers the person must do it: the page says how.
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
      return location.replace(page); // the handshake was refused: now the browser asks
    }
    location.hash = "#another";
  };
  for (const one of document.querySelectorAll('a[href="#another"]')) one.addEventListener("click", choose);
}
