// Attachments of a message or of a tool's result: images are shown, and all can be saved.
import { useEffect, useState } from "preact/hooks";
import type { AttachmentRef } from "@quarterdeck/client";
import { size } from "../state/format";
import { attachmentAddress, isImage } from "../store/images";
import { Icon } from "./Icons";

interface AttachmentsProps {
  readonly attachments: readonly AttachmentRef[];
  readonly sessionKey: string;
}

/** Draws attachments; nothing where there are none. */
export function Attachments({ attachments, sessionKey }: AttachmentsProps) {
  if (attachments.length === 0) return null;
  return (
    <div class="attachments">
      {attachments.map((attachment, place) => (
        // The same picture may come twice.
        <AttachmentView key={`${place} ${attachment.attachmentId}`} attachment={attachment} sessionKey={sessionKey} />
      ))}
    </div>
  );
}

function AttachmentView({ attachment, sessionKey }: { readonly attachment: AttachmentRef; readonly sessionKey: string }) {
  const image = isImage(attachment.mediaType);
  const [address, setAddress] = useState("");
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (!image) return;
    attachmentAddress(sessionKey, attachment.attachmentId).then(setAddress, () => setFailed(true));
  }, [sessionKey, attachment.attachmentId]);
  const name = attachment.name === "" ? "attachment" : attachment.name;
  const save = (): void => {
    attachmentAddress(sessionKey, attachment.attachmentId).then(
      (href) => {
        const link = document.createElement("a");
        link.href = href;
        link.download = name;
        link.click();
      },
      () => setFailed(true),
    );
  };
  return (
    <button type="button" class={image ? "attachment image" : "attachment"} onClick={save} title={`Save ${name}`}>
      {address === "" ? <Icon name="file" /> : <img src={address} alt={name} />}
      {address === "" ? (
        <span>
          {name} <span class="hint">{failed ? "can't be read" : size(Number(attachment.size))}</span>
        </span>
      ) : null}
    </button>
  );
}
