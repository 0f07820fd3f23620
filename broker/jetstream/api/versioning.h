// SPDX-License-Identifier: Apache-2.0
// Versioning: what a stream or consumer demands of a server, kept in its metadata (ADR-44, spec J-07).
// Owner:  caller (pure).  "_nats.req.level" is stored; "_nats.ver" and "_nats.level" are added to answers only.
#pragma once

#include <string>
#include <string_view>

#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/stream_config.h"

namespace millrace {

inline constexpr std::string_view kRequiredLevelKey = "_nats.req.level";
inline constexpr std::string_view kServerVersionKey = "_nats.ver";
inline constexpr std::string_view kServerLevelKey = "_nats.level";

// The API level that the features in use need: 0..4.
int RequiredLevel(const StreamConfig& config);
int RequiredLevel(const ConsumerConfig& config);

// On create and update: drops the fields of answers and sets the required level.
void SetStaticMetadata(StreamConfig* config);
void SetStaticMetadata(ConsumerConfig* config);

// For an answer: a copy that holds version and level of this server.
StreamConfig WithDynamicMetadata(const StreamConfig& config);
ConsumerConfig WithDynamicMetadata(const ConsumerConfig& config);

// Makes the versioning fields of metadata those of previous, so that two configurations can be compared.
void CopyVersioning(Metadata* metadata, const Metadata& previous);

// This server can run what demands the level in its metadata; else the asset is kept offline.
bool SupportsRequiredLevel(const Metadata& metadata);
// Why it is offline: {err} of kStreamOfflineReason, kConsumerOfflineReason. strict_error: why its stored configuration
// could not be read strictly (parse.h), empty if it could.
std::string OfflineReason(const Metadata& metadata, std::string_view strict_error = {});

// The request header Nats-Required-Api-Level (empty: not there) asks for more than we have: kRequiredApiLevel.
bool RefusesRequiredLevel(std::string_view header_value);

}  // namespace millrace
