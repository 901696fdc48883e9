// Attachments of the viewed session as addresses that the page itself made.
import { effect } from "@preact/signals";
import { account, client } from "./account";

/** Addresses kept; the oldest are given back. */
const KEPT_MAX = 60;

const kept = new Map<string, Promise<string>>();

/** True where an attachment may be shown as an image: no documents, nothing that could run. */
export function isImage(mediaType: string): boolean {
  return /^image\/(?:png|jpeg|gif|webp|avif|bmp)$/.test(mediaType);
}

/** A `blob:` address of an attachment. */
export function attachmentAddress(sessionKey: string, attachmentId: string): Promise<string> {
  const id = `${sessionKey} ${attachmentId}`;
  const known = kept.get(id);
  if (known) return known;
  const address = read(sessionKey, attachmentId);
  kept.set(id, address);
  address.catch(() => kept.delete(id));
  for (const [oldest, gone] of kept) {
    if (kept.size <= KEPT_MAX) break;
    kept.delete(oldest);
    gone.then(giveBack, () => undefined);
  }
  return address;
}

effect(() => {
  if (account.value.state === "in") return;
  for (const address of kept.values()) address.then(giveBack, () => undefined);
  kept.clear();
});

function giveBack(address: string): void {
  URL.revokeObjectURL(address);
}

async function read(sessionKey: string, attachmentId: string): Promise<string> {
  const { attachment } = await client().getAttachment({ sessionKey, attachmentId });
  // Whatever it is called: an address of this page's own origin must not be a document that a click could open.
  const mediaType = attachment && isImage(attachment.mediaType) ? attachment.mediaType : "application/octet-stream";
  return URL.createObjectURL(new Blob([new Uint8Array(attachment?.data ?? [])], { type: mediaType }));
}
