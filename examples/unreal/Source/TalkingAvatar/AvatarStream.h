// A live session with a talking-avatar server, without a word of Unreal: gRPC and the standard
// library alone, so it serves any C++ program. Two threads of its own talk to the server; no
// function here waits for the network.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace talking_avatar {

// What a session shall be.
struct StreamConfig {
  std::string address = "127.0.0.1:50051";
  std::string token;             // bearer token; empty for none
  std::string root_certificate;  // PEM; empty for a connection that is not encrypted
  std::string avatar_id;         // may be empty where no pictures are wanted
  uint32_t sample_rate_hz = 16000;
  double fps = 30.0;
  bool pictures = false;      // JPEG files, for a flat avatar
  uint32_t picture_size = 0;  // longer side in pixels; 0 for the photo's own
  bool idle_frames = true;    // the face lives while nothing is said
};

// One moment of the face.
struct StreamFrame {
  double time_code = 0.0;  // seconds since the session's first sample
  bool idle = false;
  std::string utterance_id;
  std::vector<float> blendshapes;  // in the order of AvatarStream::BlendshapeNames
  float rotation_wxyz[4] = {1.0f, 0.0f, 0.0f, 0.0f};  // relative to the photo
  std::string jpeg;                                   // empty without pictures
  std::string pcm16;                                  // the sound of this frame, mono
};

// One session. Every function may be called from any thread.
class AvatarStream {
 public:
  explicit AvatarStream(const StreamConfig& config);
  // Cancels the session where it has not ended.
  ~AvatarStream();
  AvatarStream(const AvatarStream&) = delete;
  AvatarStream& operator=(const AvatarStream&) = delete;

  // Adds sound: signed 16-bit samples, mono, at most 10 s at once.
  void PushAudio(const int16_t* samples, size_t count, const std::string& utterance_id = "");
  // All sound of the open utterance has come.
  void EndUtterance();
  // Be silent now. Frames of what was said before are never given again.
  void Interrupt();
  // Nothing more will be said: the session ends after its last frame.
  void Finish();

  // Takes the next frame; false where none is there.
  bool NextFrame(StreamFrame* frame);
  // Meaning of StreamFrame::blendshapes, in ARKit's camelCase; empty until the session began.
  std::vector<std::string> BlendshapeNames() const;
  // Nothing follows what NextFrame still holds.
  bool Ended() const;
  // Why the session ended, in words; empty where it ended well or goes on.
  std::string Error() const;

 private:
  struct Call;  // keeps gRPC's headers out of this one

  void Write();
  void Read();

  const StreamConfig config_;
  std::unique_ptr<Call> call_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StreamFrame> frames_;
  std::vector<std::string> names_;
  std::string error_;
  int interrupts_under_way_ = 0;  // until the last has taken effect, frames are of the past
  bool ended_ = false;
  std::thread writer_, reader_;
};

}  // namespace talking_avatar
