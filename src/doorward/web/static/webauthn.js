/* Passkeys: makes or uses one, and sends the answer with the form.

   <form data-webauthn="get|create" data-options="JSON"> with a hidden field `credential` and an element `data-fault`
   that is shown if it fails. With `data-auto` the browser asks at once. */

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const readIds = (list) => (list ?? []).map((one) => ({ ...one, id: toBytes(one.id) }));

function readOptions(text) {
  const options = JSON.parse(text);
  options.challenge = toBytes(options.challenge);
  if (options.user) {
    options.user.id = toBytes(options.user.id);
    options.excludeCredentials = readIds(options.excludeCredentials);
  } else {
    options.allowCredentials = readIds(options.allowCredentials);
  }
  return options;
}

function render(credential) {
  const found = credential.response;
  const response = { clientDataJSON: toText(found.clientDataJSON) };
  if (found.attestationObject) {
    response.attestationObject = toText(found.attestationObject);
  } else {
    response.authenticatorData = toText(found.authenticatorData);
    response.signature = toText(found.signature);
    response.userHandle = found.userHandle ? toText(found.userHandle) : null;
  }
  return JSON.stringify({
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

async function ask(form) {
  const fault = form.querySelector("[data-fault]");
  const button = form.querySelector("button");
  fault.hidden = true;
  button.disabled = true;
  try {
    const publicKey = readOptions(form.dataset.options);
    const call = form.dataset.webauthn === "create" ? "create" : "get";
    const credential = await navigator.credentials[call]({ publicKey });
    form.elements.namedItem("credential").value = render(credential);
    form.submit();
  } catch {
    fault.hidden = false;
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-webauthn]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
  if ("auto" in form.dataset && document.hasFocus()) {
    ask(form);
  }
}
