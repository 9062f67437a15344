// Copyright (c) grata_monai authors
// SPDX-License-Identifier: Apache-2.0
/* The review page: puts its parts together. */

import * as api from "./api.js";
import { byId, setText } from "./dom.js";
import { setUpLogin, signInIfNeeded } from "./login.js";
import { attempt, say, setUpMessages, showError } from "./messages.js";
import { Review } from "./review.js";
import { Settings } from "./settings.js";
import { StudyList } from "./studies.js";
import { Versions } from "./versions.js";
import { Viewer } from "./viewer.js";

const studies = new StudyList((id) => open(id));
const settings = new Settings();
const versions = new Versions((name) => {
  say(`The model is now ${name}. What is shown is older; press “Segment” to see its result.`);
});
const review = new Review(new Viewer(), settings, versions, reload);

function open(id) {
  const study = studies.get(id);
  if (!study) return;
  studies.mark(id);
  // So a reload of the page comes back to this study.
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  review.open(study).catch(showError);
}

/* The list as the server has it now. */
async function reload() {
  await studies.load();
  const study = studies.get(review.id);
  if (study) review.describe(study);
}

async function next() {
  const id = await api.nextHardest();
  if (!id) return say("No study is left: all have been accepted.");
  await reload();
  if (!studies.get(id)) throw new Error(`The server named ${id}, which is not in its list.`);
  return open(id);
}

async function start() {
  await signInIfNeeded();
  const info = await api.info();
  setText("server", info.name || "");
  settings.offer(info.models || {});
  versions.offer(info.trainers);
  await Promise.all([studies.load(), versions.load()]);
  versions.watch().catch(showError);
  open(chosen());
}

/* The study that the address names. */
function chosen() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

setUpMessages();
setUpLogin();
byId("next").addEventListener("click", () => attempt(byId("next"), next));
byId("refresh").addEventListener("click", () => attempt(byId("refresh"), reload));
attempt(null, start);
