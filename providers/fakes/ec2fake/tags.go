package ec2fake

import (
	"strings"
	"unicode/utf8"
)

// Limits of tags:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
// (read 2026-11-21).
const (
	maxTags     = 50
	maxTagKey   = 128 // characters
	maxTagValue = 256 // characters
)

// ruleTags reads the TagSpecification of a call that makes rules.
func (p params) ruleTags() map[string]string {
	specifications := p.list("TagSpecification")
	if len(specifications) > 1 {
		p.fail(invalid("The same resource type may not be specified more than once in tag specifications"))
	}
	tags := map[string]string{}
	for _, specification := range specifications {
		if t := specification.str("ResourceType"); t != "security-group-rule" {
			p.fail(invalid("'%s' is not a valid taggable resource type for this operation.", t))
		}
		specification.readTags(tags)
	}
	return tags
}

func (p params) readTags(tags map[string]string) {
	items := p.list("Tag")
	if len(items) == 0 {
		p.fail(invalid("Tag specification must have at least one tag"))
	}
	for _, item := range items {
		key, value := item.str("Key"), item.str("Value")
		if _, twice := tags[key]; twice {
			p.fail(invalid("Duplicate tag key '%s' specified.", key))
		}
		tags[key] = value
	}
	if err := checkTags(tags); err != nil {
		p.fail(err)
	}
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return refuse("TagLimitExceeded", "More than %d tags specified", maxTags)
	}
	for key, value := range tags {
		switch {
		case key == "":
			return invalid("Tag key cannot be empty")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return invalid("Tag keys starting with 'aws:' are reserved for internal use")
		case utf8.RuneCountInString(key) > maxTagKey:
			return invalid("Tag key exceeds the maximum length of %d characters", maxTagKey)
		case utf8.RuneCountInString(value) > maxTagValue:
			return invalid("Tag value exceeds the maximum length of %d characters", maxTagValue)
		}
	}
	return nil
}
