"""Sound and the words in it. Nothing here knows an HTTP request, a chat or a setting.

| part | modules |
|---|---|
| values | `utterance`, `word_timing`; `word_estimation` guesses the times of words |
| samples | `pcm` (rates, sample types), `sound_file` and `wav` (files), `pacing` (chunks at the pace of speech) |
| ready sound | `recordings`, and `placeholder` where there is none |
| text to say | `speech_text` (clauses without markup), `markup_filter`, `clause_splitting` |
| how it is read | `normalization`, a package for each language (`english`), `pronunciation` |
| voices | `synthesis` (the protocol, the cache), `api_voice`, `embedded_voice`, `voice_package` |
| both at once | `speech_stream`: a text that is spoken while it is still being written |
"""
