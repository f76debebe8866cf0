#include "AvatarStream.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "avatar/v1/avatar.grpc.pb.h"

namespace talking_avatar {

namespace pb = ::avatar::v1;

namespace {

// At 30 frames a second, two seconds: a game that stops reading holds no more than that.
constexpr size_t kMostFrames = 60;

std::shared_ptr<grpc::Channel> Connect(const StreamConfig& config) {
  grpc::ChannelArguments arguments;
  // The window must not grow: frames that wait in it cannot be taken back.
  arguments.SetInt("grpc.http2.bdp_probe", 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  if (config.root_certificate.empty()) {
    return grpc::CreateCustomChannel(config.address, grpc::InsecureChannelCredentials(), arguments);
  }
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = config.root_certificate;
  return grpc::CreateCustomChannel(config.address, grpc::SslCredentials(options), arguments);
}

pb::StreamSpeakRequest FirstRequest(const StreamConfig& config) {
  pb::StreamSpeakRequest request;
  pb::SessionConfig* session = request.mutable_config();
  session->set_avatar_id(config.avatar_id);
  session->set_fps(config.fps);
  session->set_idle_frames(config.idle_frames);
  session->mutable_audio()->set_encoding(pb::AUDIO_ENCODING_PCM_S16LE);
  session->mutable_audio()->set_sample_rate_hz(config.sample_rate_hz);
  session->add_outputs(pb::OUTPUT_KIND_BLENDSHAPES);
  session->add_outputs(pb::OUTPUT_KIND_HEAD_POSE);
  session->add_outputs(pb::OUTPUT_KIND_AUDIO);
  if (config.pictures) {
    session->add_outputs(pb::OUTPUT_KIND_VIDEO);
    session->mutable_video()->set_codec(pb::VIDEO_CODEC_JPEG);
    session->mutable_video()->set_size(config.picture_size);
  }
  return request;
}

StreamFrame Convert(pb::Frame* message) {
  StreamFrame frame;
  frame.time_code = message->time_code();
  frame.idle = message->idle();
  frame.utterance_id = std::move(*message->mutable_utterance_id());
  frame.blendshapes.assign(message->blendshapes().begin(), message->blendshapes().end());
  const auto& rotation = message->head_pose().rotation_wxyz();
  for (int k = 0; k < 4 && rotation.size() == 4; ++k) frame.rotation_wxyz[k] = rotation[k];
  frame.jpeg = std::move(*message->mutable_video()->mutable_data());
  frame.pcm16 = std::move(*message->mutable_audio());
  return frame;
}

}  // namespace

struct AvatarStream::Call {
  grpc::ClientContext context;
  std::unique_ptr<pb::AvatarService::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<pb::StreamSpeakRequest, pb::StreamSpeakResponse>> stream;
  // Guarded by AvatarStream::mutex_.
  std::deque<pb::StreamSpeakRequest> requests;
  bool finishing = false;
};

AvatarStream::AvatarStream(const StreamConfig& config)
    : config_(config), call_(std::make_unique<Call>()) {
  if (!config.token.empty()) {
    call_->context.AddMetadata("authorization", "Bearer " + config.token);
  }
  call_->stub = pb::AvatarService::NewStub(Connect(config));
  call_->requests.push_back(FirstRequest(config));
  call_->stream = call_->stub->StreamSpeak(&call_->context);
  writer_ = std::thread(&AvatarStream::Write, this);
  reader_ = std::thread(&AvatarStream::Read, this);
}

AvatarStream::~AvatarStream() {
  call_->context.TryCancel();
  Finish();
  writer_.join();
  reader_.join();
}

void AvatarStream::PushAudio(const int16_t* samples, size_t count, const std::string& utterance) {
  pb::StreamSpeakRequest request;
  request.mutable_audio()->set_utterance_id(utterance);
  // Games run on little-endian processors, as the protocol does.
  request.mutable_audio()->set_data(samples, count * sizeof(int16_t));
  std::lock_guard<std::mutex> lock(mutex_);
  call_->requests.push_back(std::move(request));
  changed_.notify_all();
}

void AvatarStream::EndUtterance() {
  pb::StreamSpeakRequest request;
  request.mutable_end_utterance();
  std::lock_guard<std::mutex> lock(mutex_);
  call_->requests.push_back(std::move(request));
  changed_.notify_all();
}

void AvatarStream::Interrupt() {
  pb::StreamSpeakRequest request;
  request.mutable_interrupt();
  std::lock_guard<std::mutex> lock(mutex_);
  frames_.clear();
  ++interrupts_under_way_;
  call_->requests.push_back(std::move(request));
  changed_.notify_all();
}

void AvatarStream::Finish() {
  std::lock_guard<std::mutex> lock(mutex_);
  call_->finishing = true;
  changed_.notify_all();
}

bool AvatarStream::NextFrame(StreamFrame* frame) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (frames_.empty()) return false;
  *frame = std::move(frames_.front());
  frames_.pop_front();
  changed_.notify_all();
  return true;
}

std::vector<std::string> AvatarStream::BlendshapeNames() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return names_;
}

bool AvatarStream::Ended() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return ended_;
}

std::string AvatarStream::Error() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

void AvatarStream::Write() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ended_ || call_->finishing || !call_->requests.empty(); });
    if (ended_) return;
    if (call_->requests.empty()) break;
    const pb::StreamSpeakRequest request = std::move(call_->requests.front());
    call_->requests.pop_front();
    lock.unlock();
    const bool sent = call_->stream->Write(request);
    lock.lock();
    if (!sent) return;  // the reader learns why
  }
  lock.unlock();
  call_->stream->WritesDone();
}

void AvatarStream::Read() {
  pb::StreamSpeakResponse response;
  while (call_->stream->Read(&response)) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (response.has_started()) {
      const auto& names = response.started().blendshape_names();
      names_.assign(names.begin(), names.end());
    } else if (response.has_event()) {
      if (response.event().type() == pb::Event::TYPE_INTERRUPTED) --interrupts_under_way_;
    } else if (response.has_frame() && interrupts_under_way_ == 0) {
      // With the game not reading, the server is not read either: it waits, and keeps little.
      changed_.wait(lock, [this] {
        return frames_.size() < kMostFrames || call_->finishing || interrupts_under_way_ > 0;
      });
      if (interrupts_under_way_ == 0) frames_.push_back(Convert(response.mutable_frame()));
    }
  }
  const grpc::Status status = call_->stream->Finish();
  std::lock_guard<std::mutex> lock(mutex_);
  ended_ = true;
  if (!status.ok()) error_ = status.error_message();
  changed_.notify_all();
}

}  // namespace talking_avatar
