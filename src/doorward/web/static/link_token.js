/* Copies the token of an administrator's link from the fragment, which browsers never send, into the forms of the page. */

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
if (/^[A-Za-z0-9_-]{43}$/.test(token)) {
  for (const field of document.querySelectorAll('input[name="token"]')) {
    field.value = token;
  }
  document.querySelector("[data-token]").hidden = false;
  document.querySelector("[data-no-token]").hidden = true;
  history.replaceState(null, "", location.pathname);
}
