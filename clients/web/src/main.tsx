// The web console: one page over the server that it came from.
//
// state/ is pure and tested alone; store/ holds what is shown, and calls the server; ui/ draws it.
import { render } from "preact";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/session.css";
import "./styles/pages.css";
import "./styles/code.css";
import "./styles/details.css";
import "./styles/tables.css";
import { account, start } from "./store/account";
import { startLive } from "./store/live";
import { startNotifications } from "./store/notifications";
import { startKeyboard } from "./ui/keyboard";
import { Shell } from "./ui/Shell";
import { SignIn } from "./ui/SignIn";

function App() {
  return account.value.state === "in" ? <Shell /> : <SignIn />;
}

const root = document.getElementById("app");
if (root) {
  root.replaceChildren();
  render(<App />, root);
  startLive();
  startNotifications();
  startKeyboard();
  void start();
}
