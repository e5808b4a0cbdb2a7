// TensorBoard event files: TFRecord framing (length, masked CRC-32C) around hand-encoded Event protocol buffers
// (tensorflow/core/util/event.proto).
#pragma once
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dslite {

class TensorBoardWriter {
 public:
  // A new file events.out.tfevents.SECONDS.dslite.N in the folder. first_step > 0: TensorBoard drops what older files
  // hold from that step on.
  TensorBoardWriter(const std::string& folder, int64_t first_step);
  ~TensorBoardWriter();
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void text(int64_t step, const std::string& tag, const std::string& text);
  void flush();

 private:
  void record(const std::string& event);
  std::FILE* file_ = nullptr;
  std::string path_;
};

}  // namespace dslite
