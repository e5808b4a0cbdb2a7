#include "src/generate/generator.h"

#include <algorithm>

#include "src/base/error.h"
#include "src/generate/active_reply.h"

namespace dslite {

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

Generator::Generator(const DeepseekV2& model, const GeneratorConfig& config)
    : forward_(model, config.page_tokens), config_(config) {
  DSLITE_ASSERT(config.max_batch > 0 && config.prefill_tokens > 1);
}

void Generator::check(const GenerationRequest& request, size_t index) const {
  const ModelConfig& model = forward_.model().config();
  const auto count = static_cast<int64_t>(request.prompt.size());
  if (count == 0) fail_input("prompt {} has no tokens: a model needs at least one, such as bos", index + 1);
  if (count > model.max_position_embeddings)
    fail_input("prompt {} has {} tokens, more than the model's max_position_embeddings = {}", index + 1, count,
               model.max_position_embeddings);
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= model.vocab_size)
      fail_input("prompt {}: token id {} is outside the model's vocabulary of {}", index + 1, token, model.vocab_size);
  }
}

// One forward over the next piece of each reader's prompt.
void Generator::read_pieces(const std::vector<Active*>& readers) {
  std::vector<Piece> pieces;
  for (const Active* reader : readers)
    pieces.push_back({.sequence = reader->sequence, .tokens = reader->next_piece(config_.prefill_tokens)});
  const at::Tensor logits_PV = forward_.next_logits(pieces);
  for (size_t i = 0; i < readers.size(); ++i) {
    readers[i]->num_read += static_cast<int64_t>(pieces[i].tokens.size());
    readers[i]->logits_V = logits_PV.select(0, static_cast<int64_t>(i));
  }
}

// Pieces are cut by the prompt alone, and those of one token go by themselves: they take the absorbed form whatever
// else is read, so that a prompt's bits do not depend on its neighbours.
bool Generator::read_prompts(std::vector<Active>& active, const std::function<bool()>& stopped) {
  for (;;) {
    std::vector<Active*> singles, longer;
    int64_t num_tokens = 0;
    for (Active& reader : active) {
      const auto count = static_cast<int64_t>(reader.next_piece(config_.prefill_tokens).size());
      if (count == 1) singles.push_back(&reader);
      if (count <= 1 || (num_tokens > 0 && num_tokens + count > config_.prefill_tokens)) continue;
      longer.push_back(&reader);
      num_tokens += count;
    }
    if (singles.empty() && longer.empty()) return true;
    for (const auto* readers : {&singles, &longer}) {
      if (readers->empty()) continue;
      if (stopped && stopped()) return false;
      read_pieces(*readers);
    }
  }
}

void Generator::take_tokens(std::vector<Active>& active, const GenerationOptions& options,
                            const TokenCallback& on_token) {
  for (Active& a : active) {
    const auto position = static_cast<int64_t>(a.request->prompt.size() + a.reply->tokens.size());
    const std::span<const float> logits(a.logits_V.const_data_ptr<float>(), a.logits_V.numel());
    const int32_t token = next_token(logits, options.sampling, a.request->sample, position);
    a.reply->tokens.push_back(token);
    const bool wanted = !on_token || on_token(a.index, token);
    const bool full = static_cast<int64_t>(a.reply->tokens.size()) >= options.max_new_tokens ||
                      position + 1 > forward_.model().config().max_position_embeddings;
    if (std::find(options.eos_ids.begin(), options.eos_ids.end(), token) != options.eos_ids.end()) {
      a.finish(FinishReason::kStop);
    } else if (!wanted) {
      a.finish(FinishReason::kCancelled);
    } else if (full) {
      a.finish(FinishReason::kLength);
    }
  }
  std::erase_if(active, [](const Active& a) { return a.done; });
}

void Generator::decode(std::vector<Active>& active) {
  std::vector<Piece> pieces;
  for (const Active& a : active)
    pieces.push_back({.sequence = a.sequence, .tokens = std::span(a.reply->tokens).last(1)});
  const at::Tensor logits_PV = forward_.next_logits(pieces);
  for (size_t i = 0; i < active.size(); ++i) active[i].logits_V = logits_PV.select(0, static_cast<int64_t>(i));
}

std::vector<Reply> Generator::complete(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                                       const TokenCallback& on_token, const ReplyCallback& on_reply) {
  for (size_t i = 0; i < requests.size(); ++i) check(requests[i], i);
  std::vector<Reply> replies(requests.size());
  std::vector<OpenSequence> sequences(requests.size());  // closed when this call ends, however it ends
  std::vector<Active> active;
  size_t next = 0;
  while (next < requests.size() || !active.empty()) {
    if (!active.empty()) decode(active);
    while (static_cast<int64_t>(active.size()) < config_.max_batch && next < requests.size()) {
      sequences[next] = OpenSequence(forward_.cache());
      active.push_back(
          {.index = next, .request = &requests[next], .reply = &replies[next], .sequence = sequences[next].id()});
      ++next;
    }
    read_prompts(active, {});
    take_tokens(active, options, on_token);
    for (size_t i = 0; i < next; ++i) {
      const bool grows = std::any_of(active.begin(), active.end(), [&](const Active& a) { return a.index == i; });
      if (grows || !sequences[i].open()) continue;
      sequences[i] = OpenSequence();
      if (on_reply) on_reply(i, replies[i]);
    }
  }
  return replies;
}

GenerationSession::GenerationSession(Generator& generator)
    : generator_(generator), sequence_(generator.forward_.cache().open()) {}
GenerationSession::~GenerationSession() { generator_.forward_.cache().close(sequence_); }

Reply GenerationSession::complete(const std::vector<int32_t>& prompt, const GenerationOptions& options,
                                  const TokenCallback& on_token, const std::function<bool()>& stopped) {
  const GenerationRequest request{.prompt = prompt};
  generator_.check(request, 0);
  // At least the last token is read again: its logits choose the reply's first token.
  const auto differs = std::mismatch(cached_.begin(), cached_.end(), prompt.begin(), prompt.end() - 1).first;
  num_reused_tokens_ = differs - cached_.begin();
  cached_.resize(num_reused_tokens_);
  generator_.forward_.cache().truncate(sequence_, num_reused_tokens_);

  Reply reply;
  std::vector<Generator::Active> active;
  active.push_back({.request = &request, .reply = &reply, .sequence = sequence_, .num_read = num_reused_tokens_});
  const auto remember =
      [&] {  // what the cache holds now: the prompt as far as it was read, and the reply but for its last token
        cached_ = prompt;
        cached_.insert(cached_.end(), reply.tokens.begin(), reply.tokens.end());
        cached_.resize(generator_.forward_.cache().num_tokens(sequence_));
      };
  bool goes_on = generator_.read_prompts(active, stopped);
  while (goes_on) {
    generator_.take_tokens(active, options, on_token);
    if (active.empty()) break;
    goes_on = !(stopped && stopped());
    if (goes_on) generator_.decode(active);
  }
  if (!goes_on) reply.finish = FinishReason::kCancelled;
  remember();
  return reply;
}

}  // namespace dslite
