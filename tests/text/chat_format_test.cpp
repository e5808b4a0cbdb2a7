// Chat formats: masks by construction, recognition of templates, what is refused.
#include "src/text/chat_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::small_tokenizer;

const std::vector<Message> kConversation = {{Role::kSystem, "Be brief."},
                                            {Role::kUser, "One?"},
                                            {Role::kAssistant, "1", 0.5f},
                                            {Role::kUser, "Two?"},
                                            {Role::kAssistant, "2", 1.0f}};

std::string trained_text(const RenderedChat& chat) {
  std::string text;
  for (size_t i = 0; i < chat.tokens.size(); ++i) {
    if (chat.loss_weight[i] > 0) text += small_tokenizer()->token_bytes(chat.tokens[i]);
  }
  return text;
}

TEST(ChatFormat, MasksOfDeepseekV2) {
  const RenderedChat chat =
      tokenize_chat(*small_tokenizer(), ChatFormat::named("deepseek-v2").render(kConversation, false));
  const std::string bos = kBosText, eos = kEosText;
  EXPECT_EQ(small_tokenizer()->decode(chat.tokens),
            bos + "Be brief.\n\nUser: One?\n\nAssistant: 1" + eos + "User: Two?\n\nAssistant: 2" + eos);
  EXPECT_EQ(trained_text(chat), " 1" + eos + " 2" + eos);
  EXPECT_EQ(std::count(chat.tokens.begin(), chat.tokens.end(), *small_tokenizer()->bos_id()), 1);
  EXPECT_EQ(chat.loss_weight.size(), chat.tokens.size());
  ASSERT_EQ(chat.turns.size(), kConversation.size());
  EXPECT_EQ(chat.turns[0].begin, 1);
  for (size_t i = 0; i + 1 < chat.turns.size(); ++i) EXPECT_EQ(chat.turns[i].end, chat.turns[i + 1].begin);
  EXPECT_EQ(chat.turns.back().end, static_cast<int64_t>(chat.tokens.size()));
  for (const auto& turn : chat.turns) {
    for (int64_t i = turn.begin; i < turn.end; ++i)
      EXPECT_TRUE(chat.loss_weight[i] == 0 || chat.loss_weight[i] == turn.weight);
    if (turn.role != Role::kAssistant) continue;
    EXPECT_EQ(chat.tokens[turn.end - 1], *small_tokenizer()->eos_id());
    EXPECT_EQ(chat.loss_weight[turn.end - 1], turn.weight);
  }
  EXPECT_EQ(chat.turns[2].weight, 0.5f);
  EXPECT_EQ(chat.turns[1].weight, 0.0f);
}

// The reply's text alone is trained, whatever it or the others hold.
TEST(ChatFormat, OnlyRepliesAreTrained) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    std::vector<Message> messages;
    std::string expected;
    for (uint64_t i = 0; i < 1 + seed % 5; ++i) {
      const Role role = static_cast<Role>((seed + i) % 3);
      messages.push_back({role, testing::random_text(seed * 10 + i, 20) + (i % 2 ? kEosText : "Assistant:"), 1.0f});
      if (role == Role::kAssistant) expected += messages.back().text;
    }
    const bool deepseek = seed % 2;
    std::string spaced;
    for (const Message& message : messages) {
      if (message.role == Role::kAssistant) spaced += (deepseek ? " " : "") + message.text + kEosText;
    }
    const RenderedChat chat = tokenize_chat(
        *small_tokenizer(), ChatFormat::named(deepseek ? "deepseek-v2" : "plain").render(messages, seed % 3 == 0));
    ASSERT_EQ(trained_text(chat), spaced) << "seed " << seed;
    ASSERT_EQ(chat.turns.size(), messages.size());
  }
}

TEST(ChatFormat, GenerationPromptHasNoTrailingSpace) {
  const auto segments = ChatFormat::named("deepseek-v2").render({{Role::kUser, "Hi"}}, true);
  EXPECT_EQ(segments.back().text, "Assistant:");
  EXPECT_EQ(segments.back().message, -1);
  EXPECT_EQ(segments.back().weight, 0.0f);
}

// What a model is prompted with is what it was trained on, token for token.
TEST(ChatFormat, PromptAndReplyMeetAtATokenEdge) {
  for (const ChatFormat* format : {&ChatFormat::named("deepseek-v2"), &ChatFormat::named("plain")}) {
    const std::vector<Message> asked = {{Role::kUser, "Hi there"}};
    std::vector<Message> answered = asked;
    answered.push_back({Role::kAssistant, "Hello"});
    const auto prompt = tokenize_chat(*small_tokenizer(), format->render(asked, true)),
               whole = tokenize_chat(*small_tokenizer(), format->render(answered, false));
    ASSERT_LT(prompt.tokens.size(), whole.tokens.size());
    for (size_t i = 0; i < prompt.tokens.size(); ++i) EXPECT_EQ(prompt.tokens[i], whole.tokens[i]);
    EXPECT_GT(whole.loss_weight[prompt.tokens.size()], 0.0f);
  }
}

TEST(ChatFormat, TemplatesAreRecognised) {
  for (const std::string& name : ChatFormat::names()) {
    EXPECT_EQ(&ChatFormat::recognised(ChatFormat::named(name).chat_template(), "f"), &ChatFormat::named(name));
  }
  EXPECT_THAT(ChatFormat::names(), ElementsAre("deepseek-v2", "plain"));
  try {
    ChatFormat::recognised("{{ messages }}", "folder/chat_template.jinja");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("folder/chat_template.jinja: the chat template"));
    EXPECT_THAT(error.what(), HasSubstr("deepseek-v2, plain"));
  }
}

TEST(ChatFormat, UnknownNamesAndRolesAreRefused) {
  try {
    ChatFormat::named("deepseek-v3");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"deepseek-v2\"?"));
  }
  for (const std::string& name : ChatFormat::names()) {
    for (const Role role : {Role::kTool, Role::kDeveloper})
      EXPECT_THROW(ChatFormat::named(name).render({{role, "x"}}, false), UserError);
  }
}

}  // namespace
}  // namespace dslite
