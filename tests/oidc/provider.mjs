// A certified OpenID provider for tests: `node provider.mjs settings.json`.
//
// Its tokens are JWTs for one API. The first key of `keys` signs, all are listed; a key
// is generated when its file is missing. Its own pages for people who sign in accept any
// name and password.
import { createPrivateKey, generateKeyPairSync, webcrypto } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

// Debian 12 and Ubuntu 24.04 have Node.js 18, which lacks these.
globalThis.crypto ??= webcrypto;
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);

const PEM = {
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
};
const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));

function readKey(name) {
  const file = `${settings.folder}/${name}.json`;
  if (!existsSync(file)) {
    // Over PEM: the export of a pair that was just generated locks its key, and waits
    // for ever when the garbage collector frees the pair meanwhile (Node.js 20).
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, ...PEM });
    const jwk = createPrivateKey(privateKey).export({ format: 'jwk' });
    const key = { ...jwk, kid: name, use: 'sig' };
    writeFileSync(file, JSON.stringify(key));
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}

const api = {
  scope: settings.scopes,
  audience: settings.audience,
  accessTokenTTL: 300,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: 'RS256' } },
};

const provider = new Provider(settings.issuer, {
  jwks: { keys: settings.keys.map(readKey) },
  clients: [
    {
      client_id: 'orders',
      client_secret: settings.secret,
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
    {
      client_id: 'browser',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code'],
      response_types: ['code'],
      redirect_uris: settings.redirects,
    },
  ],
  clientBasedCORS: (ctx, origin) =>
    settings.redirects.some((redirect) => new URL(redirect).origin === origin),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:kit',
      getResourceServerInfo: () => api,
      useGrantedResource: () => true,
    },
  },
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
});

provider.listen(new URL(settings.issuer).port, '127.0.0.1');
