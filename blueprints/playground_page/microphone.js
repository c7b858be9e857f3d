/** Words by voice, where the browser knows how: on this machine where it can, else its maker may hear them. */

const NOTICE = "Your browser may send your voice to its maker. Press Speak again to go on.";

/** Whether somebody was told already that the voice may leave the machine. */
let wasTold = false;

/**
 * Listen once. `hear` gets the words so far, and whether they are final.
 * @param {(words: string, isFinal: boolean) => void} hear
 * @param {(notice: string) => void} tell
 */
export async function listen(hear, tell) {
  const Recognition =
    /** @type {any} */ (globalThis).SpeechRecognition ?? /** @type {any} */ (globalThis).webkitSpeechRecognition;
  const recognition = new Recognition();
  recognition.lang = navigator.language;
  recognition.interimResults = true;
  const isLocal = await canListenHere(Recognition);
  if (isLocal) recognition.processLocally = true;
  if (!isLocal && !wasTold) {
    wasTold = true;
    tell(NOTICE);
    return;
  }
  recognition.addEventListener("result", (/** @type {any} */ event) => {
    const result = event.results[event.results.length - 1];
    hear(result[0].transcript, result.isFinal);
  });
  recognition.addEventListener("error", (/** @type {any} */ event) =>
    tell(`The browser can't listen: ${event.error}.`),
  );
  recognition.addEventListener("end", () => tell(""));
  tell("Listening …");
  recognition.start();
}

/** @param {any} Recognition */
async function canListenHere(Recognition) {
  if (typeof Recognition.available !== "function") return false;
  try {
    return (await Recognition.available({ langs: [navigator.language], processLocally: true })) === "available";
  } catch {
    return false;
  }
}
