// Use a passkey without a user name: the authenticator offers its passkeys for this page (discoverable credentials).
// Standard: WebAuthn level 3 section 5.1.4; binary values are base64url without padding (section 5.1.8).

const fromBase64Url = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const toBase64Url = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// Return the authenticator's answer as values for JSON. asked: challenge, rpId, and timeout in milliseconds.
export async function showPasskey(asked) {
  const shown = await navigator.credentials.get({
    publicKey: {
      challenge: fromBase64Url(asked.challenge),
      rpId: asked.rpId,
      timeout: asked.timeout,
      userVerification: "required",
    },
  });
  const { authenticatorData, clientDataJSON, signature, userHandle } = shown.response;
  return {
    id: shown.id,
    rawId: toBase64Url(shown.rawId),
    type: shown.type,
    response: {
      authenticatorData: toBase64Url(authenticatorData),
      clientDataJSON: toBase64Url(clientDataJSON),
      signature: toBase64Url(signature),
      userHandle: userHandle ? toBase64Url(userHandle) : null,
    },
  };
}
