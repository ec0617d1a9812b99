// The page on which a person gets a certificate: it makes the key, and the file that the operating system imports.
//
// `data-proof` on the page says how the request is authorised:
//   link      by the token of the link, which is in the fragment of the URL, where no server and no log sees it
//   caller    by the present certificate, which is renewed
//   passkey   by a passkey, on a device without a certificate
// All texts are in the page, in its language; this module shows and hides them.
// Until the file is saved, the key exists in this page only: closing the page loses it.

import { makeFile, makeKeys, makePassword, makeRequest, readCertificates } from "./keys.js";
import { showPasskey } from "./discover.js";

const page = document.querySelector("[data-certificate]");
const all = (selector) => Array.from(page.querySelectorAll(selector));
const one = (selector) => page.querySelector(selector);

// Systems that import only the older form, as far as we know (docs/how-to/import-your-certificate.md).
const OLD_FORM = new Set(["macos", "ios", "android"]);

const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

// A fault for which the page has a text; `code` is that of a problem document (RFC 9457), or our own.
class Fault extends Error {
  constructor(code, hint) {
    super(code);
    this.code = code;
    this.hint = hint ?? "";
  }
}

// Guess the system from the User-Agent; the person can choose another.
function guessDevice() {
  const said = navigator.userAgent;
  const touches = navigator.maxTouchPoints > 1;
  if (/Android/.test(said)) return "android";
  if (/iPhone|iPad|iPod/.test(said) || (/Macintosh/.test(said) && touches)) return "ios";
  if (/Firefox\//.test(said)) return "firefox";
  if (/Windows/.test(said)) return "windows";
  return /Macintosh/.test(said) ? "macos" : "linux";
}

function chosenDevice() {
  return one("[name=device]:checked").value;
}

// Show the texts for the chosen system.
function showDevice() {
  for (const words of all("[data-system]")) words.hidden = words.dataset.system !== chosenDevice();
}

// Open one of the steps, and mark the earlier ones as done.
function openStep(name) {
  let before = true;
  for (const step of all("[data-step]")) {
    const current = step.dataset.step === name;
    before = before && !current;
    step.classList.toggle("done", before);
    if (current) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
    for (const body of step.querySelectorAll("[data-body]")) body.hidden = !current;
  }
}

function showFault(fault) {
  const code = fault instanceof Fault ? fault.code : "not-reached";
  const words = all("[data-code]");
  const chosen = words.find((note) => note.dataset.code === code) ?? words.find((note) => note.dataset.code === "other");
  for (const note of words) note.hidden = note !== chosen;
  for (const place of chosen.querySelectorAll("[data-hint]")) place.textContent = fault.hint ?? "";
  chosen.scrollIntoView({ block: "center" });
}

const hideFaults = () => all("[data-code]").forEach((note) => { note.hidden = true; });

// The token of the link: `#token=…&sha256=…`, or the token alone.
function readToken() {
  const fragment = location.hash.slice(1);
  const token = new URLSearchParams(fragment).get("token") ?? fragment;
  if (!/^[A-Za-z0-9_-]{22,128}$/.test(token)) throw new Fault("token-missing");
  return token;
}

// --- asking for the certificate, by each proof ---

async function post(path, headers, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { Accept: "application/json", ...headers },
      body,
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    throw new Fault("not-reached");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Fault(said.code ?? "other", [said.detail, said.hint].filter(Boolean).join(". "));
  return said;
}

const asRequest = { "Content-Type": "application/pkcs10" };
const ASK_BY_PROOF = {
  link: (request) => post(page.dataset.post, { ...asRequest, Authorization: `Bearer ${readToken()}` }, request),
  caller: (request) => post(page.dataset.post, asRequest, request),
  passkey: async (request) => {
    const asked = await post(page.dataset.challenge, { "Content-Type": "application/json" }, "{}");
    const credential = await showPasskey(asked).catch((fault) => {
      throw new Fault(fault.name === "NotAllowedError" ? "passkey-not-shown" : "passkey-not-possible");
    });
    const lost = one("[name=lost]")?.checked ?? false;
    const body = JSON.stringify({ credential, request: toBase64(request), lost });
    return post(page.dataset.post, { "Content-Type": "application/json" }, body);
  },
};

// --- the file ---

function save(bytes, type, name) {
  const link = one("[data-file]");
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
}

async function makeCertificate() {
  hideFaults();
  const keys = await makeKeys();
  const issued = await ASK_BY_PROOF[page.dataset.proof](await makeRequest(keys, "doorward"));
  const chain = readCertificates([issued.certificate, ...issued.chain].join("\n"));
  const password = makePassword();
  const form = OLD_FORM.has(chosenDevice()) ? "old" : "modern";
  const file = await makeFile(keys, chain, password, issued.name, form);
  one("[data-password]").textContent = password;
  // The link is used: its token need not stay in the history of the browser.
  history.replaceState(null, "", location.pathname);
  openStep("put-in");
  for (const part of document.querySelectorAll("[data-before]")) part.hidden = true; // alternatives that no longer apply
  save(file, "application/x-pkcs12", `${issued.name}.p12`);
  one("[data-done]").focus();
}

// The person's own request (CSR): the certificate is saved as PEM, and no key is made here.
async function sendOwnRequest(form) {
  hideFaults();
  const request = await form.elements.namedItem("request").files[0].arrayBuffer();
  const issued = await ASK_BY_PROOF[page.dataset.proof](new Uint8Array(request));
  const pem = [issued.certificate, ...issued.chain].join("");
  history.replaceState(null, "", location.pathname);
  one("[data-own-done]").hidden = false;
  save(pem, "application/pem-certificate-chain", `${issued.name}.pem`);
}

// Run one action at a time: two clicks on a button must not send two requests.
function runOnce(button, work) {
  return async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    page.setAttribute("aria-busy", "true");
    try {
      await work(event.currentTarget ?? event.target);
    } catch (fault) {
      showFault(fault);
      button.disabled = false;
    } finally {
      page.removeAttribute("aria-busy");
    }
  };
}

function begin() {
  one(`[name=device][value=${guessDevice()}]`).checked = true;
  for (const choice of all("[name=device]")) choice.addEventListener("change", showDevice);
  showDevice();
  openStep("device");
  const form = one("[data-make]");
  form.addEventListener("submit", runOnce(form.querySelector("button"), makeCertificate));
  const own = one("[data-own]");
  own?.addEventListener("submit", runOnce(own.querySelector("button"), () => sendOwnRequest(own)));
  one("[data-copy]").addEventListener("click", async (event) => {
    await navigator.clipboard.writeText(one("[data-password]").textContent);
    event.target.textContent = event.target.dataset.copied;
  });
  for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;
  for (const part of document.querySelectorAll("[data-plain]")) part.hidden = true;
  if (page.dataset.proof === "link") {
    try {
      readToken();
    } catch (fault) {
      showFault(fault);
      form.querySelector("button").disabled = true;
    }
  }
}

begin();
