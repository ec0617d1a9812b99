// Keys made in the browser: a key pair, a certificate request, and the file that operating systems import.
//
// The private key leaves this module only encrypted, inside the PKCS#12 file. This module sends nothing.
// Standard: RFC 2986 (PKCS#10), RFC 7292 (PKCS#12), RFC 8018 (PBES2), X.690 (DER).
// It uses WebCrypto, which browsers offer only to pages of secure origins. It also runs in Node 20 and later, where our
// tests compare its output with that of OpenSSL and others. It makes no markup, so Trusted Types do not apply.

import { encryptTripleDes } from "./des3.js";

const subtle = globalThis.crypto.subtle;
const utf8 = new TextEncoder();

// --- DER, X.690: each value is tag, length, content ---

const INTEGER = 0x02, BIT_STRING = 0x03, OCTET_STRING = 0x04, OBJECT = 0x06, UTF8_STRING = 0x0c, BMP_STRING = 0x1e;
const SEQUENCE = 0x30, SET = 0x31, CONTEXT_0 = 0xa0, IMPLICIT_0 = 0x80;

function join(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

// X.690 section 8.1.3: up to 127 in one byte; otherwise a byte with the number of length bytes, then these bytes.
function length(count) {
  if (count < 128) return [count];
  const bytes = [];
  for (let rest = count; rest; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

function der(tag, ...content) {
  const inside = join(...content);
  return join([tag], length(inside.length), inside);
}

// A positive integer from its bytes, most significant first: a leading zero only if it is needed for the sign (8.3.2).
function integer(bytes) {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const rest = bytes.slice(start);
  return der(INTEGER, rest[0] > 127 ? [0] : [], rest);
}

const number = (value) => integer([value >> 24, value >> 16, value >> 8, value].map((byte) => byte & 255));

// 8.19: the first two arcs share a byte; each further arc is written in groups of seven bits.
function object(text) {
  const [first, second, ...arcs] = text.split(".").map(Number);
  const groups = arcs.map((arc) => {
    const bytes = [arc & 127];
    for (let rest = Math.floor(arc / 128); rest; rest = Math.floor(rest / 128)) bytes.unshift((rest & 127) | 128);
    return bytes;
  });
  return der(OBJECT, [first * 40 + second, ...groups.flat()]);
}

const NULL = [0x05, 0x00];
const sequence = (...parts) => der(SEQUENCE, ...parts);
const octets = (bytes) => der(OCTET_STRING, bytes);
// Two bytes for each UTF-16 code unit; importers read surrogate pairs as UTF-16.
const wide = (text) => Array.from({ length: text.length }, (_, at) => text.charCodeAt(at)).flatMap((unit) => [unit >> 8, unit & 255]);

// --- the key and the request ---

// Return a new P-256 key pair. The private key can be exported, because it goes into the file.
export function makeKeys() {
  return subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
}

// Return a PKCS#10 request in DER, signed by the key itself (RFC 2986 section 4.2).
// The name has no effect: the certificate contains the name that the server knows.
export async function makeRequest(keys, name) {
  const subject = sequence(der(SET, sequence(object("2.5.4.3"), der(UTF8_STRING, utf8.encode(name)))));
  const publicKey = new Uint8Array(await subtle.exportKey("spki", keys.publicKey));
  const asked = sequence(number(0), subject, publicKey, der(CONTEXT_0));
  const raw = new Uint8Array(await subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.privateKey, asked));
  // WebCrypto returns r and s concatenated (IEEE P1363); certificates need two integers (RFC 3279 section 2.2.3).
  const signature = sequence(integer(raw.slice(0, 32)), integer(raw.slice(32)));
  return sequence(asked, sequence(object("1.2.840.10045.4.3.2")), der(BIT_STRING, [0], signature));
}

// Return the certificates of a PEM text, in DER, in their order.
export function readCertificates(pem) {
  const found = pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g);
  return Array.from(found, ([, base64]) => Uint8Array.from(atob(base64.replace(/\s/g, "")), (one) => one.charCodeAt(0)));
}

// --- the file ---

// The agent makes the same kind of password: 120 random bits, four groups of six characters, 27 characters of ASCII. Some
// importers cut passwords at 32 characters, and they encode non-ASCII characters differently.
export function makePassword() {
  const letters = "abcdefghijklmnopqrstuvwxyz234567";
  const random = crypto.getRandomValues(new Uint8Array(24));
  // 256 is a multiple of 32, so all letters are equally likely.
  const text = Array.from(random, (byte) => letters[byte % 32]).join("");
  return text.replace(/.{6}(?=.)/g, "$&-");
}

const ROUNDS = 10000; // as Java's keytool; with a password of 120 bits, more rounds only cost time
const OLD_ROUNDS = 2048; // as OpenSSL; each round is a call of WebCrypto's digest
const MAC_SALT_BYTES = 8; // with 16 bytes, macOS is reported to refuse the import

// Derive bytes from a password, RFC 7292 appendix B.2; purpose: 1 a key, 2 an initial vector, 3 a MAC key.
async function derive(hash, purpose, password, salt, rounds, wanted) {
  const repeat = (bytes) => Uint8Array.from({ length: 64 * Math.ceil(bytes.length / 64) }, (_, at) => bytes[at % bytes.length]);
  const mark = new Uint8Array(64).fill(purpose);
  const mixed = join(repeat(salt), repeat([...wide(password), 0, 0]));
  let out = new Uint8Array(0);
  for (;;) {
    let block = join(mark, mixed);
    for (let round = 0; round < rounds; round += 1) block = new Uint8Array(await subtle.digest(hash, block));
    out = join(out, block);
    if (out.length >= wanted) return out.slice(0, wanted);
    // Step 6C: add the repeated block and one to each 64 bytes of the mixture.
    const growth = Uint8Array.from({ length: 64 }, (_, at) => block[at % block.length]);
    for (let start = 0; start < mixed.length; start += 64) {
      let carry = 1;
      for (let at = 63; at >= 0; at -= 1) {
        carry += mixed[start + at] + growth[at];
        mixed[start + at] = carry & 255;
        carry >>= 8;
      }
    }
  }
}

// PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC: RFC 8018 sections 6.2, A.2 and B.2.5. Returns [algorithm, encrypted].
async function encryptModern(password, plain) {
  const salt = crypto.getRandomValues(new Uint8Array(16)), iv = crypto.getRandomValues(new Uint8Array(16));
  const secret = await subtle.importKey("raw", utf8.encode(password), "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: ROUNDS };
  const key = await subtle.deriveKey(how, secret, { name: "AES-CBC", length: 256 }, false, ["encrypt"]);
  const encrypted = new Uint8Array(await subtle.encrypt({ name: "AES-CBC", iv }, key, plain));
  const derivation = sequence(
    object("1.2.840.113549.1.5.12"),
    sequence(octets(salt), number(ROUNDS), sequence(object("1.2.840.113549.2.9"), NULL)),
  );
  const cipher = sequence(object("2.16.840.1.101.3.4.1.42"), octets(iv));
  return [sequence(object("1.2.840.113549.1.5.13"), sequence(derivation, cipher)), encrypted];
}

// pbeWithSHAAnd3-KeyTripleDES-CBC: RFC 7292 appendix C. Returns [algorithm, encrypted].
async function encryptOld(password, plain) {
  const salt = crypto.getRandomValues(new Uint8Array(8));
  const key = await derive("SHA-1", 1, password, salt, OLD_ROUNDS, 24);
  const iv = await derive("SHA-1", 2, password, salt, OLD_ROUNDS, 8);
  const algorithm = sequence(object("1.2.840.113549.1.12.1.3"), sequence(octets(salt), number(OLD_ROUNDS)));
  return [algorithm, encryptTripleDes(key, iv, plain)];
}

const FORMS = {
  modern: { encrypt: encryptModern, hash: "SHA-256", name: "2.16.840.1.101.3.4.2.1", bytes: 32 },
  old: { encrypt: encryptOld, hash: "SHA-1", name: "1.3.14.3.2.26", bytes: 20 },
};
const DATA = "1.2.840.113549.1.7.1", ENCRYPTED_DATA = "1.2.840.113549.1.7.6";
const bag = (kind, value, ...attributes) =>
  sequence(object(`1.2.840.113549.1.12.10.1.${kind}`), der(CONTEXT_0, value), ...attributes);
const plainContent = (bytes) => sequence(object(DATA), der(CONTEXT_0, octets(bytes)));

// Return a PKCS#12 file (RFC 7292 section 4) with the key and its certificates.
// certificates: DER, the key's own first, without the root: importing a certificate should not also offer to trust an
// authority. password: ASCII. label: shown by importers. form: "modern" or "old".
export async function makeFile(keys, certificates, password, label, form) {
  const { encrypt, hash, name, bytes } = FORMS[form];
  // Importers match key and certificate by these two attributes (PKCS#9 friendlyName and localKeyId).
  const id = new Uint8Array(await subtle.digest("SHA-1", certificates[0]));
  const attributes = der(
    SET,
    sequence(object("1.2.840.113549.1.9.20"), der(SET, der(BMP_STRING, wide(label)))),
    sequence(object("1.2.840.113549.1.9.21"), der(SET, octets(id))),
  );
  const x509 = (one) => sequence(object("1.2.840.113549.1.9.22.1"), der(CONTEXT_0, octets(one)));
  const certificateBags = certificates.map((one, at) => bag(3, x509(one), ...(at ? [] : [attributes])));
  const [howCertificates, hiddenCertificates] = await encrypt(password, sequence(...certificateBags));
  const encryptedContent = sequence(object(DATA), howCertificates, der(IMPLICIT_0, hiddenCertificates));
  const [howKey, hiddenKey] = await encrypt(password, new Uint8Array(await subtle.exportKey("pkcs8", keys.privateKey)));
  const safe = sequence(
    sequence(object(ENCRYPTED_DATA), der(CONTEXT_0, sequence(number(0), encryptedContent))),
    plainContent(sequence(bag(2, sequence(howKey, octets(hiddenKey)), attributes))),
  );
  const salt = crypto.getRandomValues(new Uint8Array(MAC_SALT_BYTES));
  const macKey = await derive(hash, 3, password, salt, OLD_ROUNDS, bytes);
  const hmac = await subtle.importKey("raw", macKey, { name: "HMAC", hash }, false, ["sign"]);
  const mac = new Uint8Array(await subtle.sign("HMAC", hmac, safe));
  const digest = sequence(sequence(object(name), NULL), octets(mac));
  return sequence(number(3), plainContent(safe), sequence(digest, octets(salt), number(OLD_ROUNDS)));
}
