// A tool's result as people read it: text and images where it has the usual shape, JSON otherwise.
import { prettyJson } from "./format";

/** What to show of a result. */
export interface ResultView {
  readonly text: string;
  /** `data:` addresses. */
  readonly images: readonly string[];
}

/** Images that may be shown: no documents, nothing that runs. */
const IMAGE_TYPE = /^image\/(?:png|jpeg|gif|webp)$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * Reads `{"content": [{"type": "text"|"image", …}]}`, which agents use for results; everything else stays JSON. Pictures
 * that the server took out stand beside the result, as attachments.
 */
export function readResult(json: string): ResultView {
  const parts = contentParts(json);
  if (!parts) return { text: prettyJson(json), images: [] };
  const text: string[] = [];
  const images: string[] = [];
  for (const part of parts) {
    if (part.type === "text" && typeof part.text === "string") text.push(part.text);
    else if (part.type === "image" && typeof part.attachmentId === "string") continue;
    else if (part.type === "image" && typeof part.omitted === "string") text.push(`(${part.omitted})`);
    else if (part.type === "image" && typeof part.base64Size === "number") text.push("(a picture)");
    else if (part.type === "image" && typeof part.data === "string" && BASE64.test(part.data)) {
      const type = typeof part.mimeType === "string" ? part.mimeType : "";
      if (!IMAGE_TYPE.test(type)) return { text: prettyJson(json), images: [] };
      images.push(`data:${type};base64,${part.data}`);
    } else return { text: prettyJson(json), images: [] };
  }
  return { text: text.join("\n"), images };
}

type Part = Record<string, unknown>;

function contentParts(json: string): Part[] | undefined {
  try {
    const value: unknown = JSON.parse(json);
    if (!isRecord(value) || !Array.isArray(value.content) || value.content.length === 0) return undefined;
    const parts: unknown[] = value.content;
    return parts.every(isRecord) ? parts : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Part {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
