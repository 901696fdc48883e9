// The few drawings of the console. All are decoration: their buttons carry the names.

const PATHS = {
  sessions: "M4 5h16v11H9l-4 4v-4H4z",
  memory: "M12 4a4 4 0 0 0-4 4 4 4 0 0 0-2 7 4 4 0 0 0 6 4 4 4 0 0 0 6-4 4 4 0 0 0-2-7 4 4 0 0 0-4-4zM12 4v15",
  channels: "M5 12a7 7 0 0 1 14 0M8.5 12a3.5 3.5 0 0 1 7 0M12 12v8M9 20h6",
  logs: "M5 6h14M5 12h9M5 18h12",
  server: "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01",
  plus: "M12 5v14M5 12h14",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.5 15.5 20 20",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  clip: "M19 11l-7.5 7.5a4.5 4.5 0 0 1-6.4-6.4L13 4.3a3 3 0 0 1 4.3 4.3l-7.6 7.6a1.5 1.5 0 0 1-2.2-2.2L14 7.5",
  close: "M6 6l12 12M18 6 6 18",
  up: "M6 14l6-6 6 6",
  down: "M6 10l6 6 6-6",
  back: "M14 6l-6 6 6 6",
  pencil: "M5 19l1-4L16 5l3 3L9 18z",
  sliders: "M5 7h8M17 7h2M15 5v4M5 12h2M11 12h8M9 10v4M5 17h10M19 17h0M17 15v4",
  trash: "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12",
  fork: "M7 7.5v9M7 3.5a2 2 0 1 0 .01 0M7 16.5a2 2 0 1 0 .01 0M17 3.5a2 2 0 1 0 .01 0M17 7.5c0 4.5-8 3-10 6.5",
  reset: "M5 12a7 7 0 1 0 2.3-5.2M5 4v4h4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4",
  moon: "M19 14.5A7.5 7.5 0 0 1 9.5 5 7.5 7.5 0 1 0 19 14.5z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  help: "M9 9a3 3 0 1 1 4 2.8c-.7.3-1 1-1 1.7v.5M12 17.5h.01",
  leave: "M14 5H6v14h8M10 12h10M17 9l3 3-3 3",
  tool: "M14.5 6a4 4 0 0 0-5 5L5 15.5V19h3.5L13 14.5a4 4 0 0 0 5-5l-2.5 2.5-3-3z",
  thought: "M12 4a7 5.5 0 0 0-7 5.5c0 2 1.2 3.6 3 4.6L7.5 17l3.2-2a9 9 0 0 0 1.3 0 7 5.5 0 1 0 0-11z",
  file: "M7 4h7l4 4v12H7zM14 4v4h4",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2",
  check: "M5 12l5 5 9-10",
  copy: "M9 9h10v11H9zM15 9V5H5v11h4",
  save: "M12 4v11M7 10l5 5 5-5M5 19h14",
  info: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 11v5M12 8h.01",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14",
  calendar: "M5 6h14v13H5zM5 10h14M9 4v4M15 4v4",
  webhook: "M5 12h9M10 7.5l4.5 4.5-4.5 4.5M13 5h6v14h-6",
  machines: "M3 6h8v6H3zM13 12h8v6h-8zM7 12v6h6M17 12V9h-6",
  signpost: "M12 4v16M12 6h6l2.5 2.5L18 11h-6M12 12H6l-2.5 2L6 16h6",
  coins: "M12 5c4 0 7 1.1 7 2.5S16 10 12 10 5 8.9 5 7.5 8 5 12 5zM5 7.5v9C5 17.9 8 19 12 19s7-1.1 7-2.5v-9M5 12c0 1.4 3 2.5 7 2.5s7-1.1 7-2.5",
  key: "M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM11 12l8-8M16 7l3 3",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM12 4v2.5M12 17.5V20M4 12h2.5M17.5 12H20M6.3 6.3l1.8 1.8M15.9 15.9l1.8 1.8M17.7 6.3l-1.8 1.8M8.1 15.9l-1.8 1.8",
  bell: "M12 4a5 5 0 0 0-5 5v4l-2 3h14l-2-3V9a5 5 0 0 0-5-5zM10 19h4",
  more: "M5.5 12h1M11.5 12h1M17.5 12h1",
  again: "M19 12a7 7 0 1 1-2.3-5.2M19 4v4h-4",
  pause: "M9 6v12M15 6v12",
  play: "M8 6l10 6-10 6z",
} as const;

/** Name of a drawing. */
export type IconName = keyof typeof PATHS;

/** A drawing of one line. */
export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark of Quarterdeck: a ship's wheel. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" />
      <path d="M16 4.5v5M16 22.5v5M4.5 16h5M22.5 16h5M7.9 7.9l3.5 3.5M20.6 20.6l3.5 3.5M24.1 7.9l-3.5 3.5M11.4 20.6l-3.5 3.5" />
      <circle cx="16" cy="16" r="6.5" />
    </svg>
  );
}
