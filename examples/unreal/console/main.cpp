// The stream without an engine: reads 16 kHz mono PCM16 from stdin, says it, and prints each frame
// as a line: time code, idle, jawOpen, bytes of the picture, bytes of the sound.
//
//   console 127.0.0.1:50051 [AVATAR_ID] < voice.pcm
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "AvatarStream.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s HOST:PORT [AVATAR_ID] < voice.pcm\n", argv[0]);
    return 2;
  }
  talking_avatar::StreamConfig config;
  config.address = argv[1];
  config.idle_frames = false;
  if (argc > 2) {
    config.avatar_id = argv[2];
    config.pictures = true;
    config.picture_size = 128;
  }
  std::vector<int16_t> sound;
  int16_t buffer[1600];
  while (const size_t count = std::fread(buffer, sizeof(int16_t), std::size(buffer), stdin)) {
    sound.insert(sound.end(), buffer, buffer + count);
  }

  talking_avatar::AvatarStream stream(config);
  for (size_t begin = 0; begin < sound.size(); begin += std::size(buffer)) {
    stream.PushAudio(&sound[begin], std::min(std::size(buffer), sound.size() - begin), "console");
  }
  stream.Finish();

  size_t jaw_open = 0;
  talking_avatar::StreamFrame frame;
  // Ended is asked first: frames that come between the two questions are not lost.
  for (bool ended = false; !ended;) {
    ended = stream.Ended();
    while (stream.NextFrame(&frame)) {
      const std::vector<std::string> names = stream.BlendshapeNames();
      jaw_open = std::find(names.begin(), names.end(), "jawOpen") - names.begin();
      std::printf("%.6f %d %.4f %zu %zu\n", frame.time_code, frame.idle ? 1 : 0,
                  jaw_open < frame.blendshapes.size() ? frame.blendshapes[jaw_open] : -1.0f,
                  frame.jpeg.size(), frame.pcm16.size());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (!stream.Error().empty()) {
    std::fprintf(stderr, "error: %s\n", stream.Error().c_str());
    return 1;
  }
  return 0;
}
